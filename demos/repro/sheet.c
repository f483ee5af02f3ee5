#include "sheet.h"

#include "session.h"

#include "files.h"
#include "say.h"
#include "svg.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char html_head[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<style>\n"
    "body{font:15px/1.5 system-ui,Helvetica,Arial,sans-serif;color:#222;background:#fff;max-width:1180px;"
    "margin:2em auto;padding:0 1em}\n"
    "h1{font-size:1.6em}h2{margin-top:2em;border-bottom:1px solid #ddd;font-size:1.3em}h3{font-size:1.1em}\n"
    "table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums;display:block;overflow-x:auto}\n"
    "th,td{padding:.25em .7em;text-align:right;border-bottom:1px solid #eee}th{border-bottom:2px solid #bbb}\n"
    "td:first-child,th:first-child,td:nth-child(2),th:nth-child(2){text-align:left}\n"
    "figure{margin:1.2em 0}figcaption{color:#555;font-size:13px}svg{max-width:100%;height:auto}\n"
    "pre{background:#f5f5f5;padding:.7em;overflow-x:auto}\n</style>\n<title>";

/* ---- texts ---- */

static void put(struct sheet *s, const char *text)
{
    if (s->html) {
        svg_escape(s->out, text);
        return;
    }
    for (const char *c = text; *c; c++) {
        if (*c == '|' || *c == '<' || *c == '*' || *c == '_')
            fputc('\\', s->out);
        fputc(*c == '\n' ? ' ' : *c, s->out); /* a line of Markdown is a line */
    }
}

static void put_list(struct sheet *s, const char *format, va_list list)
{
    char text[2048];
    vsnprintf(text, sizeof text, format, list);
    put(s, text);
}

static void put_between(struct sheet *s, const char *before, const char *text, const char *behind)
{
    fputs(before, s->out);
    put(s, text);
    fputs(behind, s->out);
}

void sheet_begin(struct sheet *sheet, const char *title)
{
    if (sheet->html) {
        put_between(sheet, html_head, title, "</title></head><body>\n");
        put_between(sheet, "<h1>", title, "</h1>\n");
    } else {
        put_between(sheet, "# ", title, "\n\n");
    }
}

void sheet_end(struct sheet *sheet)
{
    if (sheet->html)
        fputs("</body></html>\n", sheet->out);
}

void sheet_heading(struct sheet *sheet, int level, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    if (sheet->html)
        fprintf(sheet->out, "<h%d>", level);
    else
        fprintf(sheet->out, "%.*s ", level, "######");
    put_list(sheet, format, list);
    if (sheet->html)
        fprintf(sheet->out, "</h%d>\n", level);
    else
        fputs("\n\n", sheet->out);
    va_end(list);
}

void sheet_text(struct sheet *sheet, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fputs(sheet->html ? "<p>" : "", sheet->out);
    put_list(sheet, format, list);
    fputs(sheet->html ? "</p>\n" : "\n\n", sheet->out);
    va_end(list);
}

void sheet_code(struct sheet *sheet, const char *text)
{
    if (sheet->html)
        put_between(sheet, "<pre>", text, "</pre>\n");
    else
        fprintf(sheet->out, "```sh\n%s\n```\n\n", text);
}

/* ---- tables ---- */

void sheet_table(struct sheet *sheet, const char *heads)
{
    char word[128];
    sheet->columns = sheet->column = 0;
    fputs(sheet->html ? "<table>\n<tr>" : "|", sheet->out);
    for (const char *c = heads; c; sheet->columns++) {
        const size_t length = strcspn(c, "|");
        snprintf(word, sizeof word, "%.*s", (int)length, c);
        put_between(sheet, sheet->html ? "<th>" : " ", word, sheet->html ? "</th>" : " |");
        c = c[length] ? c + length + 1 : NULL;
    }
    fputs(sheet->html ? "</tr>\n" : "\n|", sheet->out);
    for (int i = 0; i < sheet->columns && !sheet->html; i++)
        fputs(i < 2 ? "---|" : "---:|", sheet->out);
    fputs(sheet->html ? "" : "\n", sheet->out);
}

static void begin_cell(struct sheet *s)
{
    if (!s->column)
        fputs(s->html ? "<tr>" : "|", s->out);
    fputs(s->html ? "<td>" : " ", s->out);
}

static void end_cell(struct sheet *s)
{
    fputs(s->html ? "</td>" : " |", s->out);
    s->column = (s->column + 1) % s->columns;
    if (!s->column)
        fputs(s->html ? "</tr>\n" : "\n", s->out);
}

void sheet_cell(struct sheet *sheet, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    begin_cell(sheet);
    put_list(sheet, format, list);
    end_cell(sheet);
    va_end(list);
}

void sheet_number(struct sheet *sheet, double value, int digits)
{
    if (isfinite(value))
        sheet_cell(sheet, "%.*f", digits, value);
    else
        sheet_cell(sheet, "-");
}

void sheet_table_end(struct sheet *sheet)
{
    fputs(sheet->html ? "</table>\n" : "\n", sheet->out);
}

/* ---- pictures ---- */

static void link_picture(struct sheet *s, const char *name, const char *caption, const char *svg)
{
    char path[512];
    struct new_file file;
    snprintf(path, sizeof path, "%s/figures/%s.svg", s->folder, name);
    if (make_folders(path) || new_file_begin(&file, path)) {
        s->failed = true;
        return;
    }
    fputs(svg, file.stream);
    s->failed |= new_file_end(&file, true) != 0;
    put_between(s, "![", caption, "]");
    fprintf(s->out, "(figures/%s.svg)\n\n", name);
}

void sheet_picture(struct sheet *sheet, const char *name, const char *caption,
                   bool (*draw)(FILE *out, const void *cookie), const void *cookie)
{
    char *svg = NULL;
    size_t size;
    FILE *out = open_memstream(&svg, &size);
    if (!out)
        return;
    const bool drawn = draw(out, cookie);
    fclose(out);
    if (drawn && sheet->html) {
        fprintf(sheet->out, "<figure>\n%s", svg);
        put_between(sheet, "<figcaption>", caption, "</figcaption></figure>\n");
    } else if (drawn) {
        link_picture(sheet, name, caption, svg);
    }
    free(svg);
}
