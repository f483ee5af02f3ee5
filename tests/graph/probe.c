/* What test_convert.py asks of demos/graph: probe FILE prints all of its graphs as JSON. */
#include "graphs.h"

#include "say.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>

static json_t *ids_json(const unsigned char *ids, int rows, int columns)
{
    json_t *list = json_array();
    for (int r = 0; r < rows; r++) {
        json_t *row = json_array();
        for (int c = 0; c < columns; c++)
            json_array_append_new(row, json_integer(ids[r * columns + c]));
        json_array_append_new(list, row);
    }
    return list;
}

static json_t *graph_json(const struct graphs *g, size_t i)
{
    const struct graph one = graphs_get(g, i);
    json_t *ends = json_array();
    for (int b = 0; b < one.bonds; b++)
        json_array_append_new(ends, json_pack("[ii]", graph_end(&one, b, 0), graph_end(&one, b, 1)));
    json_t *atoms = ids_json(one.of_atoms, one.atoms, g->atom_ids);
    return json_pack("{s:o, s:o, s:o, s:o, s:i, s:I, s:I, s:o}", "atoms", atoms, "bonds",
                     ids_json(one.of_bonds, one.bonds, g->bond_ids), "ends", ends, "target",
                     isnan(one.target) ? json_null() : json_real((double)one.target), "part", one.part, "number",
                     (json_int_t)one.number, "line", (json_int_t)one.line, "text",
                     json_stringn(one.text, one.text_size));
}

int main(int argc, char **argv)
{
    struct graphs g;
    if (argc != 2 || graphs_open(&g, argv[1]))
        return EXIT_FAILED;
    json_t *list = json_array();
    for (size_t i = 0; i < g.count; i++)
        json_array_append_new(list, graph_json(&g, i));
    json_t *all = json_pack("{s:s, s:s, s:i, s:i, s:o}", "target", g.target, "unit", g.unit, "most_atoms", g.most_atoms,
                            "most_bonds", g.most_bonds, "graphs", list);
    json_dumpf(all, stdout, JSON_COMPACT);
    json_decref(all);
    graphs_close(&g);
    return 0;
}
