#include "graphs.h"

#include "say.h"

#include "disk/hash.h"

#include <ssacl/base.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER = 128, VERSION = 1, MOST_IDS = 64, MOST_VALUES = 256 };

/* ---- numbers ---- */

static uint32_t u32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t u64_at(const unsigned char *p, size_t i)
{
    return u32(p + 8 * i) | (uint64_t)u32(p + 8 * i + 4) << 32;
}

static float f32_at(const unsigned char *p, size_t i)
{
    const uint32_t bits = u32(p + 4 * i);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* ---- the file ---- */

static int no_graphs(const struct graphs *g)
{
    return say_error("%s: is no file of graphs; `ssacl-graph convert` makes one of a table of SMILES", g->path);
}

static int map(struct graphs *g)
{
    struct stat s;
    const int file = open(g->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY); /* a pipe must not keep us waiting */
    if (file < 0)
        return say_error("%s: cannot be opened: %s", g->path, strerror(errno));
    if (fstat(file, &s) || !S_ISREG(s.st_mode)) {
        close(file);
        return say_error("%s: is not a regular file", g->path);
    }
    if (s.st_size < HEADER) {
        close(file);
        return no_graphs(g);
    }
    void *bytes = (uint64_t)s.st_size > SIZE_MAX ? MAP_FAILED
                                                 : mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    if (bytes == MAP_FAILED)
        return say_error("%s: cannot be mapped to memory: %s", g->path, strerror(errno));
    g->bytes = bytes;
    g->size = (size_t)s.st_size;
    return 0;
}

void graphs_close(struct graphs *g)
{
    if (g->bytes)
        munmap((void *)(uintptr_t)g->bytes, g->size);
    *g = (struct graphs){0};
}

/* ---- the header ---- */

static int broken(const struct graphs *g, const char *what)
{
    return say_error("%s: %s: cut short or damaged; convert it anew", g->path, what);
}

static void take_text(char *to, const unsigned char *from, size_t size)
{
    memcpy(to, from, size);
    to[size - 1] = 0;
    ssa_plain_text(to, strlen(to));
}

/* A number of the header, at most `most`; 0: it is not. */
static int small(const struct graphs *g, size_t at, uint32_t most)
{
    const uint32_t n = u32(g->bytes + at);
    return n <= most ? (int)n : 0;
}

static int read_header(struct graphs *g)
{
    if (memcmp(g->bytes, "SSAGRAPH", 8))
        return no_graphs(g);
    if (u32(g->bytes + 8) != VERSION)
        return say_error("%s: is of version %u, of which nothing is known here; convert it anew", g->path,
                         u32(g->bytes + 8));
    g->most_atoms = small(g, 48, GRAPH_MOST_ATOMS);
    g->most_bonds = small(g, 52, GRAPH_MOST_BONDS);
    g->atom_ids = small(g, 56, MOST_IDS);
    g->atom_values = small(g, 60, MOST_VALUES);
    g->bond_ids = small(g, 64, MOST_IDS);
    g->bond_values = small(g, 68, MOST_VALUES);
    take_text(g->target, g->bytes + 72, sizeof g->target);
    take_text(g->unit, g->bytes + 104, sizeof g->unit);
    if (!g->most_atoms || !g->atom_ids || !g->atom_values || !g->bond_ids || !g->bond_values)
        return broken(g, "its header says what no graphs are");
    return 0;
}

/* A section of `count` times `each` bytes, at `*at`, which becomes where the next begins. False: there is no room. */
static bool take(const struct graphs *g, uint64_t *at, uint64_t count, uint64_t each, const unsigned char **section)
{
    if (*at > g->size || count > (g->size - *at) / each)
        return false;
    *section = g->bytes + *at;
    *at = (*at + count * each + 7) / 8 * 8;
    return true;
}

static int find_sections(struct graphs *g)
{
    const uint64_t graphs = u64_at(g->bytes + 16, 0), atoms = u64_at(g->bytes + 16, 1);
    const uint64_t bonds = u64_at(g->bytes + 16, 2), text = u64_at(g->bytes + 16, 3);
    uint64_t at = HEADER;
    if (!graphs || graphs > INT32_MAX)
        return broken(g, "its header says that there are no graphs, or too many");
    if (!take(g, &at, graphs + 1, 8, &g->atom_start) || !take(g, &at, graphs + 1, 8, &g->bond_start) ||
        !take(g, &at, graphs + 1, 8, &g->text_start) || !take(g, &at, graphs, 8, &g->numbers) ||
        !take(g, &at, graphs, 4, &g->lines) || !take(g, &at, graphs, 4, &g->targets) ||
        !take(g, &at, graphs, 1, &g->parts) || !take(g, &at, atoms, (uint64_t)g->atom_ids, &g->atoms) ||
        !take(g, &at, bonds, 4, &g->ends) || !take(g, &at, bonds, (uint64_t)g->bond_ids, &g->bonds) ||
        !take(g, &at, text, 1, &g->text) || at != g->size)
        return broken(g, "it is not as long as its header says");
    g->count = (size_t)graphs;
    return 0;
}

/* ---- each graph ---- */

/* Begins at 0, never steps back, and ends at `end`: then all of it lies in the section. */
static bool rises(const unsigned char *start, size_t count, uint64_t end)
{
    for (size_t i = 0; i < count; i++)
        if (u64_at(start, i) > u64_at(start, i + 1))
            return false;
    return u64_at(start, 0) == 0 && u64_at(start, count) == end;
}

static bool all_below(const unsigned char *values, size_t count, int limit)
{
    for (size_t i = 0; i < count; i++)
        if (values[i] >= limit)
            return false;
    return true;
}

static uint64_t length_of(const unsigned char *start, size_t i)
{
    return u64_at(start, i + 1) - u64_at(start, i);
}

/* NULL, or what is wrong. */
static const char *look_at(const struct graphs *g, size_t i)
{
    const uint64_t atoms = length_of(g->atom_start, i), bonds = length_of(g->bond_start, i);
    if (!atoms || atoms > (uint64_t)g->most_atoms || bonds > (uint64_t)g->most_bonds)
        return "has more atoms or bonds than any, or none";
    if (length_of(g->text_start, i) > INT32_MAX)
        return "has too long a text";
    const struct graph one = graphs_get(g, i);
    if (!isnan(one.target) && !isfinite(one.target))
        return "has a target that is not finite";
    if (one.part >= GRAPH_PARTS && one.part != GRAPH_NO_PART)
        return "is of a part that there is not";
    if (!all_below(one.of_atoms, (size_t)atoms * (size_t)g->atom_ids, g->atom_values) ||
        !all_below(one.of_bonds, (size_t)bonds * (size_t)g->bond_ids, g->bond_values))
        return "has a feature out of its table";
    for (int b = 0; b < one.bonds; b++) {
        const int from = graph_end(&one, b, 0), to = graph_end(&one, b, 1);
        if (from >= one.atoms || to >= one.atoms || from == to)
            return "has a bond to an atom that it has not, or of one with itself";
    }
    return NULL;
}

static int check_graphs(const struct graphs *g)
{
    if (!rises(g->atom_start, g->count, u64_at(g->bytes + 16, 1)) ||
        !rises(g->bond_start, g->count, u64_at(g->bytes + 16, 2)) ||
        !rises(g->text_start, g->count, u64_at(g->bytes + 16, 3)))
        return broken(g, "where its graphs begin is no rising list");
    for (size_t i = 0; i < g->count; i++) {
        const char *why = look_at(g, i);
        if (why)
            return say_error("%s: graph %zu %s: damaged; convert it anew", g->path, i, why);
    }
    return 0;
}

int graphs_open(struct graphs *g, const char *path)
{
    *g = (struct graphs){.path = path};
    if (map(g) || read_header(g) || find_sections(g) || check_graphs(g)) {
        graphs_close(g);
        return EXIT_FAILED;
    }
    g->fingerprint = ssa_hash(SSA_HASH_START, g->bytes, g->size);
    return 0;
}

struct graph graphs_get(const struct graphs *g, size_t i)
{
    const size_t atom = (size_t)u64_at(g->atom_start, i), bond = (size_t)u64_at(g->bond_start, i);
    const size_t text = (size_t)u64_at(g->text_start, i);
    return (struct graph){.atoms = (int)length_of(g->atom_start, i), .bonds = (int)length_of(g->bond_start, i),
                          .of_atoms = g->atoms + atom * (size_t)g->atom_ids,
                          .of_bonds = g->bonds + bond * (size_t)g->bond_ids, .ends = g->ends + 4 * bond,
                          .target = f32_at(g->targets, i), .part = (enum graph_part)g->parts[i],
                          .number = u64_at(g->numbers, i), .line = u32(g->lines + 4 * i),
                          .text = (const char *)g->text + text, .text_size = (size_t)length_of(g->text_start, i)};
}
