/* Files of graphs: what is taken, all of it can be read. */
#include "graphs.h"

#include "graph/file.h"

#include "fuzz.h"
#include "said.h"

#include <math.h>
#include <stdio.h>

static void begin(void)
{
    static struct graph_file f;
    for (int count = 1; count < 8; count += 3) {
        graph_file_make(&f, count);
        fuzz_seed(f.bytes, f.size);
    }
}

static void look_at(const struct graphs *g, size_t i)
{
    const struct graph one = graphs_get(g, i);
    unsigned sum = 0;
    MUST(one.atoms >= 1 && one.atoms <= g->most_atoms && one.bonds >= 0, "%d atoms, %d bonds", one.atoms, one.bonds);
    MUST(isnan(one.target) || isfinite(one.target), "target %g", (double)one.target);
    for (int b = 0; b < one.bonds; b++)
        MUST(graph_end(&one, b, 0) < one.atoms && graph_end(&one, b, 1) < one.atoms, "bond %d", b);
    for (int a = 0; a < one.atoms * g->atom_ids; a++)
        MUST(one.of_atoms[a] < g->atom_values, "feature %d", a);
    for (int b = 0; b < one.bonds * g->bond_ids; b++)
        MUST(one.of_bonds[b] < g->bond_values, "feature %d", b);
    for (size_t c = 0; c < one.text_size; c++)
        sum += (unsigned char)one.text[c];
    MUST(sum <= 255 * one.text_size, "text");
}

static bool run(const unsigned char *bytes, size_t size)
{
    struct graphs g;
    char path[512];
    snprintf(path, sizeof path, "%s", fuzz_path("graphs"));
    fuzz_write(path, bytes, size);
    said_begin();
    const int status = graphs_open(&g, path);
    said_end(status);
    for (size_t i = 0; !status && i < g.count; i++)
        look_at(&g, i);
    graphs_close(&g);
    return !status;
}

const struct fuzz_target fuzz_graphs = {"graphs", begin, run, NULL, "SSAGRAPH \xff\xff\xff\xff \x01 \x80 \x7f"};
