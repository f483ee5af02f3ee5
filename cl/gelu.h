/* GELU in three forms, SiLU, ReLU and ELU, and their derivatives, on a vec, for every kernel that fuses one.
 *
 *   exact  x Phi(x), Phi the normal distribution;       slope  Phi(x) + x phi(x)
 *   tanh   x s(2 z), z = sqrt(2/pi)(x + 0.044715 x^3), s the logistic function (x/2 (1 + tanh z) is the same)
 *   SiLU   x s(x);                                      slope  s(x) + x s(x) (1 - s(x))
 *   quick  x s(1.702 x): SiLU's curve, 1.702 times as steep, so that both are one piece of code
 *   ReLU   max(x, 0);                                  slope  1 above 0, else 0
 *   ELU    x above 0, else exp(x) - 1;                 slope  1 above 0, else exp(x)
 *
 * Phi needs no separate erf: Phi(-|x|) = exp(-x^2/2) R(t), t = 1/(1 + 0.26 |x|), R a polynomial of degree 9 without
 * constant term, fitted for the relative error (4e-8 on 0 <= |x| <= 16; 4e-7 in float arithmetic), so that the left
 * tail keeps its digits; phi shares the exponential. No branch, one division, one exponential.
 */
#ifndef SSA_GELU_H
#define SSA_GELU_H

#define ACT_NONE 0 /* enum ssa_activation */
#define ACT_GELU 1
#define ACT_GELU_TANH 2
#define ACT_SILU 3
#define ACT_QUICK_GELU 4
#define ACT_RELU 5
#define ACT_ELU 6

SSA_INLINE vec vec_abs(vec x)
{
    return vec_as_float(vec_as_int(x) & 0x7fffffff);
}
/* Phi(x), given e = exp(-x^2/2). */
SSA_INLINE vec vec_normal(vec x, vec e)
{
    vec t = 1.0f / (vec_abs(x) * 0.26f + 1.0f);
    vec r = t * 0.029446313f - 0.147715817f;
    r = r * t + 0.240997073f;
    r = r * t - 0.139024105f;
    r = r * t + 0.152763071f;
    r = r * t + 0.0544937329f;
    r = r * t + 0.102147895f;
    r = r * t + 0.103139976f;
    r = r * t + 0.103751841f;
    vec tail = r * t * e;
    return vec_select(x > 0.0f, 1.0f - tail, tail);
}
SSA_INLINE vec vec_normal_exp(vec x)
{
    return vec_exp2(x * x * -0.72134752f); /* log2(e)/2 */
}
/* exp(-2 z) of the tanh form; the logistic function is 1/(1 + it). */
SSA_INLINE vec vec_gelu_tanh_exp(vec x)
{
    return vec_exp2(x * (x * x * -0.102943240f - 2.30220819f));
}

/* Past 16 the slopes are 0 or 1: the cut keeps x e and x^3 from leaving the floats. It keeps NaN. */
SSA_INLINE vec vec_cut_16(vec x)
{
    x = vec_select(x < -16.0f, vec_set(-16.0f), x);
    return vec_select(x > 16.0f, vec_set(16.0f), x);
}

SSA_INLINE vec vec_gelu(vec x)
{
    return x * vec_normal(x, vec_normal_exp(x));
}
SSA_INLINE vec vec_gelu_slope(vec x)
{
    x = vec_cut_16(x);
    vec e = vec_normal_exp(x);
    return vec_normal(x, e) + x * e * 0.39894228f;
}
SSA_INLINE vec vec_gelu_tanh(vec x)
{
    return x / (vec_gelu_tanh_exp(x) + 1.0f);
}
SSA_INLINE vec vec_gelu_tanh_slope(vec x)
{
    x = vec_cut_16(x);
    vec e = vec_gelu_tanh_exp(x), s = 1.0f / (e + 1.0f);
    return s + s * (e * s) * x * (x * x * 0.214064488f + 1.59576912f); /* 1 - s = e s */
}

/* exp(-x) ends at 2^126, soon after x = -87, where SiLU and its slope are -1e-36: below they are 0, for -3e38 over
 * 2^126 would be -3. Above 87 the slope is 1, from which x e must not lead away. NaN is kept. */
SSA_INLINE vec vec_silu_exp(vec x)
{
    return vec_exp2(x * -1.44269504f);
}
SSA_INLINE vec vec_silu(vec x, float steep)
{
    vec z = x * steep;
    return vec_select(z < -87.0f, vec_set(0.0f), x) / (vec_silu_exp(z) + 1.0f);
}
SSA_INLINE vec vec_silu_slope(vec x, float steep)
{
    x = x * steep;
    x = vec_select(x > 87.0f, vec_set(87.0f), x);
    vec e = vec_silu_exp(x), s = 1.0f / (e + 1.0f);
    return vec_select(x < -87.0f, vec_set(0.0f), s + s * (e * s) * x); /* 1 - s = e s */
}

/* NaN is kept: max() would make 0 of it, and a comparison alone no slope. */
SSA_INLINE vec vec_relu(vec x)
{
    return vec_select(x < 0.0f, vec_set(0.0f), x);
}
SSA_INLINE vec vec_relu_slope(vec x)
{
    return vec_select(x > 0.0f, vec_set(1.0f), vec_select(x <= 0.0f, vec_set(0.0f), x));
}

/* exp(x) - 1 for x <= 0: vec_exp2() without the 1 of its polynomial, which would take the digits of a small x. */
SSA_INLINE vec vec_exp_less_1(vec x)
{
    const vec magic = vec_set(12582912.0f);
    x = vec_max(vec_set(-126.0f), x * 1.44269504f);
    vec t = x + magic, f = x - (t - magic);
    vec p = vec_set(1.32647271e-3f);
    p = p * f + 9.67151265e-3f;
    p = p * f + 5.55073374e-2f;
    p = p * f + 2.40222421e-1f;
    p = p * f + 6.93146978e-1f;
    vec power = vec_as_float((vec_as_uint(t) << 23) + 0x3f800000u);
    return p * f * power + (power - 1.0f);
}
SSA_INLINE vec vec_elu(vec x)
{
    return vec_select(x > 0.0f, x, vec_exp_less_1(x));
}
SSA_INLINE vec vec_elu_slope(vec x)
{
    return vec_exp2(vec_select(x > 0.0f, vec_set(0.0f), x * 1.44269504f));
}

/* By number, for kernels that take the form as a parameter, which is not ACT_NONE then: a test less in their loops. */
SSA_INLINE float act_steep(int activation)
{
    return activation == ACT_SILU ? 1.0f : 1.702f;
}
SSA_INLINE vec vec_activate(vec x, int activation)
{
    if (activation == ACT_GELU)
        return vec_gelu(x);
    if (activation >= ACT_RELU)
        return activation == ACT_RELU ? vec_relu(x) : vec_elu(x);
    return activation == ACT_GELU_TANH ? vec_gelu_tanh(x) : vec_silu(x, act_steep(activation));
}
SSA_INLINE vec vec_activate_slope(vec x, int activation)
{
    if (activation == ACT_GELU)
        return vec_gelu_slope(x);
    if (activation >= ACT_RELU)
        return activation == ACT_RELU ? vec_relu_slope(x) : vec_elu_slope(x);
    return activation == ACT_GELU_TANH ? vec_gelu_tanh_slope(x) : vec_silu_slope(x, act_steep(activation));
}

#endif
