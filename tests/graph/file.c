#include "file.h"

#include <string.h>

enum { HEADER = 128, ATOM_IDS = 9, BOND_IDS = 3 };

void graph_file_u16(unsigned char *at, uint32_t value)
{
    at[0] = (unsigned char)value;
    at[1] = (unsigned char)(value >> 8);
}

void graph_file_u32(unsigned char *at, uint32_t value)
{
    graph_file_u16(at, value);
    graph_file_u16(at + 2, value >> 16);
}

void graph_file_u64(unsigned char *at, uint64_t value)
{
    graph_file_u32(at, (uint32_t)value);
    graph_file_u32(at + 4, (uint32_t)(value >> 32));
}

void graph_file_f32(unsigned char *at, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    graph_file_u32(at, bits);
}

static int bonds_of(int atoms)
{
    return atoms - 1 + (atoms > 2);
}

static void lay_out(struct graph_file *f, int count, int atoms, int bonds)
{
    const size_t n = (size_t)count;
    size_t *const at[] = {&f->atom_start, &f->bond_start, &f->text_start, &f->number, &f->line, &f->target, &f->part,
                          &f->atoms, &f->ends, &f->bonds, &f->text};
    const size_t sizes[] = {8 * (n + 1), 8 * (n + 1), 8 * (n + 1), 8 * n, 4 * n, 4 * n, n, ATOM_IDS * (size_t)atoms,
                            4 * (size_t)bonds, BOND_IDS * (size_t)bonds, (size_t)atoms};
    f->size = HEADER;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        *at[i] = f->size;
        f->size = (f->size + sizes[i] + 7) / 8 * 8;
    }
}

static void write_header(struct graph_file *f, int count, int atoms, int bonds)
{
    const uint32_t small[] = {(uint32_t)count, (uint32_t)bonds_of(count), ATOM_IDS, 128, BOND_IDS, 8};
    memcpy(f->bytes, "SSAGRAPH\1", 9);
    graph_file_u64(f->bytes + 16, (uint64_t)count);
    graph_file_u64(f->bytes + 24, (uint64_t)atoms);
    graph_file_u64(f->bytes + 32, (uint64_t)bonds);
    graph_file_u64(f->bytes + 40, (uint64_t)atoms); /* as many letters */
    for (size_t i = 0; i < 6; i++)
        graph_file_u32(f->bytes + 48 + 4 * i, small[i]);
    strcpy((char *)f->bytes + 72, "gap");
    strcpy((char *)f->bytes + 104, "eV");
}

void graph_file_make(struct graph_file *f, int count)
{
    const int all_atoms = count * (count + 1) / 2;
    int all_bonds = 0;
    for (int n = 1; n <= count; n++)
        all_bonds += bonds_of(n);
    memset(f->bytes, 0, sizeof f->bytes);
    lay_out(f, count, all_atoms, all_bonds);
    write_header(f, count, all_atoms, all_bonds);
    for (int i = 0, atom = 0, bond = 0; i < count; i++) {
        const int n = i + 1;
        graph_file_u64(f->bytes + f->number + 8 * i, 10 * (uint64_t)i);
        graph_file_u32(f->bytes + f->line + 4 * i, (uint32_t)i + 2);
        graph_file_f32(f->bytes + f->target + 4 * i, (float)i / 4);
        f->bytes[f->part + (size_t)i] = 255;
        for (int b = 0; b < bonds_of(n); b++, bond++) {
            graph_file_u16(f->bytes + f->ends + 4 * bond, (uint32_t)b);
            graph_file_u16(f->bytes + f->ends + 4 * bond + 2, (uint32_t)((b + 1) % n));
            f->bytes[f->bonds + BOND_IDS * (size_t)bond] = (unsigned char)(b % 4);
        }
        for (int a = 0; a < n; a++, atom++) {
            f->bytes[f->atoms + ATOM_IDS * (size_t)atom] = (unsigned char)(5 + a % 3);
            f->bytes[f->text + (size_t)atom] = 'C';
        }
        graph_file_u64(f->bytes + f->atom_start + 8 * (i + 1), (uint64_t)atom);
        graph_file_u64(f->bytes + f->bond_start + 8 * (i + 1), (uint64_t)bond);
        graph_file_u64(f->bytes + f->text_start + 8 * (i + 1), (uint64_t)atom);
    }
}
