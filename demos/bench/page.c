#include "charts.h"

#include "rows.h"
#include "table.h"

#include "svg.h"

#include <stdlib.h>
#include <string.h>

static const char head[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>ssacl-bench</title>\n<style>\n"
    "body{font:15px/1.5 system-ui,Helvetica,Arial,sans-serif;color:#222;background:#fff;max-width:1180px;"
    "margin:2em auto;padding:0 1em}\n"
    "h1{font-size:1.6em;margin-bottom:.2em}h2{margin-top:2em;border-bottom:1px solid #ddd;font-size:1.25em}"
    "h3{font-size:1.05em;margin-bottom:.3em}\n"
    "table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}\n"
    "th,td{padding:.25em .7em;text-align:right;white-space:nowrap;border-bottom:1px solid #eee}\n"
    "th{border-bottom:2px solid #bbb;position:sticky;top:0;background:#fff}"
    "td.left,th.left{text-align:left}tr:hover td{background:#f4f7fa}\n"
    "tr.wrong td{color:#a00;font-weight:bold}tr.skipped td{color:#777}\n"
    ".wide{overflow-x:auto}figure{margin:1.2em 0}figcaption{color:#555;font-size:13px}svg{max-width:100%;height:auto}\n"
    "code,pre{background:#f5f5f5;padding:.15em .3em;border-radius:3px}pre{overflow-x:auto;padding:.7em}\n"
    "dt{font-weight:bold;margin-top:.4em}dd{margin-left:1.5em}\n</style></head><body>\n";

static void put(FILE *out, const char *before, const char *text, const char *after)
{
    fputs(before, out);
    svg_escape(out, text);
    fputs(after, out);
}

/* ---- facts ---- */

static void put_fact(FILE *out, const json_t *device, const char *name, const char *path)
{
    const json_t *value = row_field(device, path);
    char text[256] = "";
    if (json_is_string(value))
        snprintf(text, sizeof text, "%s", json_string_value(value));
    else if (json_is_number(value) && json_number_value(value) > 0)
        snprintf(text, sizeof text, strstr(path, "bytes") || strstr(path, "memory") ? "%.1f MiB" : "%.0f",
                 json_number_value(value) / (strstr(path, "bytes") || strstr(path, "memory") ? 1048576 : 1));
    if (!*text)
        return;
    put(out, "<tr><td class=\"left\">", name, "</td>");
    put(out, "<td class=\"left\">", text, "</td></tr>\n");
}

static void put_facts(FILE *out, const json_t *device)
{
    static const char *const facts[][2] = {
        {"device", "device"}, {"id", "device_id"}, {"units", "units"}, {"device memory", "device_memory"},
        {"vendor", "vendor"}, {"platform", "platform"}, {"platform version", "platform_version"},
        {"device version", "device_version"}, {"driver", "driver"}, {"kernels", "path"},
        {"processor", "machine.processor"}, {"processors", "machine.processors"}, 
        {"cache, level 2", "machine.l2_bytes"}, {"cache, level 3", "machine.l3_bytes"}, {"system", "machine.system"},
        {"ssacl", "library"},
        {"measured", "time"}, {"closed set", "closed"}, {"file", "file"}};
    fputs("<table>\n", out);
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        put_fact(out, device, facts[i][0], facts[i][1]);
    fputs("</table>\n", out);
}

/* ---- tables ---- */

static void put_cells(FILE *out, const json_t *row)
{
    char cell[CELL_SIZE];
    put(out, "<tr class=\"", row_text(row, "status"), "\">");
    for (int i = 0; i < column_count; i++) {
        columns[i].write(row, cell);
        put(out, columns[i].width < 0 ? "<td class=\"left\">" : "<td>", cell, "</td>");
    }
    fputs("</tr>\n", out);
}

static void put_table_head(FILE *out, const json_t *row)
{
    put(out, "<h3>", row_text(row, "suite"), "</h3>\n<div class=\"wide\"><table>\n<tr>");
    for (int i = 0; i < column_count; i++) {
        put(out, columns[i].width < 0 ? "<th class=\"left\" title=\"" : "<th title=\"", columns[i].gloss, "\">");
        put(out, "", columns[i].title, "</th>");
    }
    fputs("</tr>\n", out);
}

static void put_tables(FILE *out, const json_t *rows, const json_t *device)
{
    const char *suite = "";
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        if (!row_same_device(row, device))
            continue;
        if (strcmp(suite, row_text(row, "suite"))) {
            fputs(*suite ? "</table></div>\n" : "", out);
            put_table_head(out, row);
            suite = row_text(row, "suite");
        }
        put_cells(out, row);
    }
    fputs(*suite ? "</table></div>\n" : "", out);
}

/* ---- the page ---- */

static void put_charts(FILE *out, const json_t *rows)
{
    fputs("<h2>Charts</h2>\n", out);
    for (int i = 0; i < chart_count; i++) {
        fputs("<figure>\n", out);
        if (charts[i].draw(out, rows))
            put(out, "<figcaption>", charts[i].about, " Rest the pointer on a mark for its figures.</figcaption>\n");
        fputs("</figure>\n", out);
    }
}

static void put_counts(FILE *out, const json_t *rows)
{
    int ok = 0, wrong = 0, failed = 0, skipped = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const char *status = row_text(json_array_get(rows, i), "status");
        ok += !strcmp(status, "ok");
        wrong += !strcmp(status, "wrong");
        failed += !strcmp(status, "failed");
        skipped += !strcmp(status, "skipped");
    }
    fprintf(out, "<p>%d results, each checked against a reference in double precision: %d right, %d wrong, %d failed, "
                 "%d skipped. A wrong result has no speed.</p>\n", ok + wrong + failed + skipped, ok, wrong, failed,
            skipped);
}

static void put_explanation(FILE *out, const char *command)
{
    fputs("<h2>How to do it again</h2>\n<pre>", out);
    svg_escape(out, command);
    fputs("</pre>\n<p><code>ssacl-bench --closed --output mine.json</code> measures the set that may be put "
          "side by side; <code>ssacl-bench compare theirs.json mine.json</code> does so, with how sure each ratio "
          "is.</p>\n"
          "<h2>What the columns say</h2>\n<dl>\n", out);
    for (int i = 0; i < column_count; i++) {
        if (!*columns[i].gloss)
            continue;
        put(out, "<dt>", columns[i].title, "</dt>");
        put(out, "<dd>", columns[i].gloss, "</dd>\n");
    }
    fputs("</dl>\n", out);
}

/* The rows themselves, one JSON object a line, for whoever wants to go on with them. "</" would end the script. */
static void put_rows(FILE *out, const json_t *rows)
{
    fputs("<script type=\"application/json-lines\" id=\"rows\">\n", out);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        char *line = json_dumps(json_array_get(rows, i), JSON_COMPACT | JSON_REAL_PRECISION(9));
        for (const char *c = line ? line : ""; *c; c++)
            *c == '<' ? fputs("\\u003c", out) : fputc(*c, out);
        fputc('\n', out);
        free(line);
    }
    fputs("</script>\n", out);
}

void page_write(FILE *out, const json_t *rows, const char *command)
{
    struct chart_devices devices;
    chart_find_devices(rows, &devices);
    fputs(head, out);
    fputs("<h1>ssacl-bench</h1>\n"
          "<p>Attention and training steps with Stochastically Subsampled self-Attention.</p>\n", out);
    put_counts(out, rows);
    put_charts(out, rows);
    for (int d = 0; d < devices.count; d++) {
        put(out, "<h2>", devices.label[d], "</h2>\n");
        put_facts(out, devices.row[d]);
        put_tables(out, rows, devices.row[d]);
    }
    if (devices.count == MAX_CHART_DEVICES)
        fprintf(out, "<p>At most %d devices are shown; the rows below have every one.</p>\n", MAX_CHART_DEVICES);
    put_explanation(out, command);
    put_rows(out, rows);
    fputs("</body></html>\n", out);
}
