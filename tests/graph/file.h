/* Files of graphs as demos/graph/convert.py writes them, made in memory. */
#ifndef TEST_GRAPH_FILE_H
#define TEST_GRAPH_FILE_H

#include <stddef.h>
#include <stdint.h>

enum { GRAPH_FILE_MOST = 1 << 16 };

/* Where the sections of a file begin. */
struct graph_file {
    unsigned char bytes[GRAPH_FILE_MOST];
    size_t size;
    size_t atom_start, bond_start, text_start, number, line, target, part, atoms, ends, bonds, text;
};

/* `count` graphs, of 1, 2, 3, ... atoms: chains, of which the last of three and more is closed to a ring. Ids are 9 of
 * 128 values and 3 of 8, the text of graph i is i + 1 times "C", its number 10 i, its line i + 2, its target i / 4. */
void graph_file_make(struct graph_file *f, int count);

void graph_file_u16(unsigned char *at, uint32_t value);
void graph_file_u32(unsigned char *at, uint32_t value);
void graph_file_u64(unsigned char *at, uint64_t value);
void graph_file_f32(unsigned char *at, float value);

#endif
