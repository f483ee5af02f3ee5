/* Molecules as graphs, of a file that convert.py made: what there is, and each by its number.
 *
 *   struct graphs g;
 *   if (graphs_open(&g, path))
 *       return EXIT_FAILED;                           // it was said why
 *   struct graph one = graphs_get(&g, 0);
 *   graphs_close(&g);
 *
 * The file, little-endian, each section at a multiple of 8 bytes, in this order:
 *   header      128 bytes: "SSAGRAPH", u32 version 1, u32 0, u64 graphs G, atoms A, bonds B, bytes of text T, u32 most
 *               atoms of a graph, most bonds of one, ids of an atom, values of each, ids of a bond, values of each, 32
 *               bytes the target's name, 16 its unit (both end with a zero); zeros
 *   atom_start  u64 [G + 1]: graph i has atoms [atom_start[i], atom_start[i + 1])
 *   bond_start  u64 [G + 1], the same of bonds;  text_start  u64 [G + 1], of bytes of text
 *   number      u64 [G]: the data set's, or rows of the csv from 0;  line  u32 [G]: of the csv
 *   target      f32 [G]: NaN where there is none
 *   part        u8 [G]: 0 train, 1 valid, 2 test, 255 not said
 *   atoms       u8 [A, ids of an atom];  ends  u16 [B, 2]: of a bond, within its graph;  bonds  u8 [B, ids of a bond]
 *   text        u8 [T]: SMILES, UTF-8 */
#ifndef GRAPH_GRAPHS_H
#define GRAPH_GRAPHS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum graph_part { GRAPH_TRAIN, GRAPH_VALID, GRAPH_TEST, GRAPH_PARTS, GRAPH_NO_PART = 255 };
enum { GRAPH_MOST_ATOMS = 4096, GRAPH_MOST_BONDS = 65535 }; /* of a graph in any file */

struct graphs {
    const char *path;
    const unsigned char *bytes; /* of the file, mapped */
    size_t size, count;
    int most_atoms, most_bonds; /* of a graph */
    int atom_ids, atom_values, bond_ids, bond_values;
    char target[32], unit[16];
    const unsigned char *atom_start, *bond_start, *text_start, *numbers, *lines, *targets, *parts, *atoms, *ends,
                        *bonds, *text;
    uint64_t fingerprint; /* of all of it */
};

/* A regular file. All of it is looked at: nothing in it is believed, and afterwards every graph is as struct graph
 * says. Says what is wrong and returns non-zero; graphs_close() it in any case. */
int graphs_open(struct graphs *g, const char *path);
void graphs_close(struct graphs *g);

/* At least one atom; ends below `atoms`, and two of them, never of one atom to itself; features below their values. */
struct graph {
    int atoms, bonds;
    const unsigned char *of_atoms; /* [atoms, atom_ids] */
    const unsigned char *of_bonds; /* [bonds, bond_ids] */
    const unsigned char *ends;     /* graph_end() */
    float target;                  /* finite, or NaN: there is none */
    enum graph_part part;
    uint64_t number;
    uint32_t line;
    const char *text;
    size_t text_size;
};
struct graph graphs_get(const struct graphs *g, size_t i);
/* The atom that bond `bond` begins (0) or ends (1) with. */
static inline int graph_end(const struct graph *g, int bond, int which)
{
    const unsigned char *p = g->ends + 4 * (size_t)bond + 2 * which;
    return p[0] | p[1] << 8;
}

#endif
