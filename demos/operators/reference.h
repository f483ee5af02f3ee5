/* Double-precision references for samples of the results: independent of the library's kernels and of its tests. */
#ifndef REFERENCE_H
#define REFERENCE_H

#include <ssacl/sample.h>

/* Attention of one example and head, with everything [batch, length, heads, width]. Absent results are NULL. */
struct attention_check {
    const struct ssa_plan *plan;
    int batch, length, heads, width, causal;
    int example, head;
    const float *q, *k, *v, *dout;
    const float *out, *dq, *dk, *dv; /* what the library answered */
};

/* The largest difference of sampled rows of out, of dq, and of dk and dv, relative to the largest value of the
 * reference in each; SSA_ENOMEM. */
struct attention_errors {
    double forward, backward;
};
int check_attention(const struct attention_check *c, struct attention_errors *errors);

/* c = a b^T, sampled: a [rows, inner] and b [columns, inner] through strides, so that it serves all directions. */
struct gemm_check {
    const float *a, *b, *c;
    size_t rows, columns, inner;
    size_t a_row, a_inner, b_column, b_inner; /* strides in elements */
};
double check_gemm(const struct gemm_check *c);

#endif
