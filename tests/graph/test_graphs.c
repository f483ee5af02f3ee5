/* Files of graphs: what is in them is read as it was written, and whatever is wrong with one is refused. */
#include "graphs.h"

#include "file.h"
#include "say.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { COUNT = 7 };

static char path[] = "/tmp/test_graphs.XXXXXX";
static struct graph_file made;

static void begin(void)
{
    graph_file_make(&made, COUNT);
}

static int open_bytes(struct graphs *g, size_t size)
{
    FILE *file = fopen(path, "wb");
    ck_assert(file && fwrite(made.bytes, 1, size, file) == size && !fclose(file));
    say_hold_errors();
    const int status = graphs_open(g, path);
    say_held_error(false);
    return status;
}

/* Wrong as it is now. */
static void refused(const char *what)
{
    struct graphs g;
    ck_assert_msg(open_bytes(&g, made.size) != 0, "%s was taken", what);
    ck_assert_ptr_null(g.bytes);
    graph_file_make(&made, COUNT);
}

START_TEST(reads)
{
    struct graphs g;
    ck_assert_int_eq(open_bytes(&g, made.size), 0);
    ck_assert_uint_eq(g.count, COUNT);
    ck_assert_int_eq(g.most_atoms, COUNT);
    ck_assert_int_eq(g.most_bonds, COUNT);
    ck_assert_int_eq(g.atom_ids, 9);
    ck_assert_int_eq(g.atom_values, 128);
    ck_assert_int_eq(g.bond_ids, 3);
    ck_assert_int_eq(g.bond_values, 8);
    ck_assert_str_eq(g.target, "gap");
    ck_assert_str_eq(g.unit, "eV");
    for (int i = 0; i < COUNT; i++) {
        const struct graph one = graphs_get(&g, (size_t)i);
        ck_assert_int_eq(one.atoms, i + 1);
        ck_assert_int_eq(one.bonds, i + (i > 1));
        ck_assert_uint_eq(one.number, 10 * (uint64_t)i);
        ck_assert_uint_eq(one.line, (uint32_t)i + 2);
        ck_assert(one.target >= (float)i / 4 && one.target <= (float)i / 4);
        ck_assert_int_eq(one.part, GRAPH_NO_PART);
        ck_assert_uint_eq(one.text_size, (size_t)i + 1);
        ck_assert_int_eq(strspn(one.text, "C") >= one.text_size, 1);
        for (int a = 0; a < one.atoms; a++)
            ck_assert_int_eq(one.of_atoms[9 * a], 5 + a % 3);
        for (int b = 0; b < one.bonds; b++) {
            ck_assert_int_eq(graph_end(&one, b, 0), b);
            ck_assert_int_eq(graph_end(&one, b, 1), (b + 1) % one.atoms);
            ck_assert_int_eq(one.of_bonds[3 * b], b % 4);
        }
    }
    graphs_close(&g);
}
END_TEST

START_TEST(no_target_is_none)
{
    struct graphs g;
    graph_file_f32(made.bytes + made.target + 4, NAN);
    ck_assert_int_eq(open_bytes(&g, made.size), 0);
    ck_assert(isnan(graphs_get(&g, 1).target));
    graphs_close(&g);
}
END_TEST

START_TEST(other_files_fingerprint_differently)
{
    struct graphs g;
    ck_assert_int_eq(open_bytes(&g, made.size), 0);
    const uint64_t before = g.fingerprint;
    graphs_close(&g);
    made.bytes[made.atoms + 4]++;
    ck_assert_int_eq(open_bytes(&g, made.size), 0);
    ck_assert_uint_ne(g.fingerprint, before);
    graphs_close(&g);
}
END_TEST

START_TEST(refuses_other_lengths)
{
    struct graphs g;
    for (size_t size = 0; size < made.size; size++)
        ck_assert_msg(open_bytes(&g, size) != 0, "%zu of %zu bytes were taken", size, made.size);
    made.size += 8;
    refused("something behind the end");
}
END_TEST

START_TEST(refuses_headers)
{
    static const struct {
        size_t at;
        uint32_t value;
    } wrong[] = {{0, 0}, {8, 0}, {8, 2}, {48, 0}, {48, 5000}, {48, COUNT - 1}, {52, 1}, {52, 70000}, {56, 0},
                 {56, 10}, {56, 1000}, {60, 0}, {60, 7}, {60, 257}, {64, 0}, {64, 4}, {68, 0}, {68, 3}, {68, 1u << 31}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        graph_file_u32(made.bytes + wrong[i].at, wrong[i].value);
        refused("a header");
    }
    for (size_t at = 16; at < 48; at += 8) {
        const uint64_t values[] = {0, UINT64_MAX, UINT64_MAX / 8, UINT64_C(1) << 61, 1u << 31, COUNT + 1};
        for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
            graph_file_u64(made.bytes + at, values[i]);
            refused("a count");
        }
    }
}
END_TEST

START_TEST(refuses_offsets)
{
    const size_t starts[] = {made.atom_start, made.bond_start, made.text_start};
    const uint64_t values[] = {UINT64_MAX, UINT64_C(1) << 32, 100000};
    for (int s = 0; s < 3; s++)
        for (size_t i = 0; i <= COUNT; i++)
            for (int v = 0; v < 3; v++) {
                graph_file_u64(made.bytes + starts[s] + 8 * i, values[v]);
                refused("an offset");
            }
    graph_file_u64(made.bytes + made.atom_start + 8, 0); /* a graph without an atom */
    refused("a graph of nothing");
    graph_file_u64(made.bytes + made.atom_start, 1);
    refused("a beginning behind the beginning");
}
END_TEST

START_TEST(refuses_graphs)
{
    made.bytes[made.atoms] = 128;
    refused("an atom's feature");
    made.bytes[made.bonds] = 8;
    refused("a bond's feature");
    graph_file_u16(made.bytes + made.ends, 2); /* of a graph of two atoms */
    refused("a bond to no atom");
    graph_file_u16(made.bytes + made.ends, 1);
    refused("a bond of one atom");
    made.bytes[made.part] = 3;
    refused("a part");
    graph_file_f32(made.bytes + made.target, INFINITY);
    refused("an infinite target");
}
END_TEST

START_TEST(refuses_what_is_no_file)
{
    struct graphs g;
    say_hold_errors();
    ck_assert_int_ne(graphs_open(&g, "/nowhere/at/all"), 0);
    ck_assert_int_ne(graphs_open(&g, "/tmp"), 0);
    ck_assert_int_ne(graphs_open(&g, "/dev/zero"), 0);
    say_held_error(false);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("graphs");
    TCase *all = tcase_create("all");
    const int file = mkstemp(path);
    if (file < 0)
        return EXIT_FAILURE;
    close(file);
    tcase_add_checked_fixture(all, begin, NULL);
    tcase_add_test(all, reads);
    tcase_add_test(all, no_target_is_none);
    tcase_add_test(all, other_files_fingerprint_differently);
    tcase_add_test(all, refuses_other_lengths);
    tcase_add_test(all, refuses_headers);
    tcase_add_test(all, refuses_offsets);
    tcase_add_test(all, refuses_graphs);
    tcase_add_test(all, refuses_what_is_no_file);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    unlink(path);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
