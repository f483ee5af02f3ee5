#include "svg.h"

#include <ssacl/base.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const svg_ink = "#222222", *const svg_pale = "#e3e3e3";

const char *svg_colour(int i)
{
    static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666",
                                          "#000000"};
    return colours[i % 8];
}

/* XML, as HTML, is well-formed UTF-8: a character cut in two or a byte of another encoding would end the picture there. */
void svg_escape(FILE *out, const char *text)
{
    static const char special[] = "<>&\"'";
    static const char *const entities[] = {"&lt;", "&gt;", "&amp;", "&quot;", "&#39;"};
    char *plain = strdup(text);
    ssa_plain_text(plain, plain ? strlen(plain) : 0);
    for (const char *c = plain ? plain : ""; *c; c++) {
        const char *found = strchr(special, *c);
        fputs(found ? entities[found - special] : (char[]){*c, 0}, out);
    }
    free(plain);
}

void svg_begin(FILE *out, double width, double height, const char *title)
{
    fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" "
                 "font-family=\"Helvetica,Arial,sans-serif\" role=\"img\">\n<title>", width, height, width, height);
    svg_escape(out, title);
    fprintf(out, "</title>\n<rect width=\"%.0f\" height=\"%.0f\" fill=\"#ffffff\"/>\n", width, height);
    svg_text(out, 16, 26, SVG_START, 16, svg_ink, title);
}

void svg_end(FILE *out)
{
    fputs("</svg>\n", out);
}

static void put_text(FILE *out, double x, double y, enum svg_anchor anchor, double size, const char *colour,
                     const char *rim, const char *text)
{
    static const char *const names[] = {"start", "middle", "end"};
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%.0f\" text-anchor=\"%s\" fill=\"%s\"%s>", x, y, size,
            names[anchor], colour, rim);
    svg_escape(out, text);
    fputs("</text>\n", out);
}

void svg_text(FILE *out, double x, double y, enum svg_anchor anchor, double size, const char *colour, const char *text)
{
    put_text(out, x, y, anchor, size, colour, "", text);
}

void svg_text_over(FILE *out, double x, double y, enum svg_anchor anchor, double size, const char *colour,
                   const char *text)
{
    put_text(out, x, y, anchor, size, colour, " stroke=\"#ffffff\" stroke-width=\"3\" paint-order=\"stroke\"", text);
}

void svg_text_up(FILE *out, double x, double y, double size, const char *colour, const char *text)
{
    fprintf(out, "<text transform=\"translate(%.1f %.1f) rotate(-90)\" font-size=\"%.0f\" text-anchor=\"middle\" "
                 "fill=\"%s\">", x, y, size, colour);
    svg_escape(out, text);
    fputs("</text>\n", out);
}

void svg_line(FILE *out, double x1, double y1, double x2, double y2, const char *colour, double width, bool dashed)
{
    fprintf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"%.1f\"%s/>\n", x1,
            y1, x2, y2, colour, width, dashed ? " stroke-dasharray=\"6 4\"" : "");
}

static void end_with_tip(FILE *out, const char *element, const char *tip)
{
    if (!tip) {
        fputs("/>\n", out);
        return;
    }
    fputs("><title>", out);
    svg_escape(out, tip);
    fprintf(out, "</title></%s>\n", element);
}

void svg_rect(FILE *out, double x, double y, double width, double height, const char *colour, const char *tip)
{
    fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"", x, y, width > 0 ? width : 0,
            height, colour);
    end_with_tip(out, "rect", tip);
}

void svg_mark(FILE *out, enum svg_mark mark, double x, double y, const char *colour, const char *tip)
{
    if (mark == SVG_DISC || mark == SVG_RING) {
        fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.6\" fill=\"%s\" stroke=\"%s\" stroke-width=\"1.6\"", x, y,
                mark == SVG_RING ? "#ffffff" : colour, colour);
        end_with_tip(out, "circle", tip);
        return;
    }
    static const double corners[][8] = {[SVG_SQUARE] = {-3.5, -3.5, 3.5, -3.5, 3.5, 3.5, -3.5, 3.5},
                                        [SVG_TRIANGLE] = {0, -4.5, 4.5, 3.5, -4.5, 3.5, -4.5, 3.5},
                                        [SVG_DIAMOND] = {0, -5, 5, 0, 0, 5, -5, 0}};
    const double *c = corners[mark];
    fprintf(out, "<polygon points=\"%.1f,%.1f %.1f,%.1f %.1f,%.1f %.1f,%.1f\" fill=\"%s\"", x + c[0], y + c[1],
            x + c[2], y + c[3], x + c[4], y + c[5], x + c[6], y + c[7], colour);
    end_with_tip(out, "polygon", tip);
}
