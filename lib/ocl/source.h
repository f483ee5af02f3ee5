#ifndef SSA_OCL_SOURCE_H
#define SSA_OCL_SOURCE_H

/* The files of cl/, embedded by cl/embed.py, their includes resolved. Ends at the first without a name. */
struct ssa_source {
    const char *name; /* without .cl */
    const char *text;
};
extern const struct ssa_source ssa_sources[];

#endif
