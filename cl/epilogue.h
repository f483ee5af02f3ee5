/* What follows a GEMM, fused into its kernel or run after a library's: c = act(g) o act'(slope_of) + addend, each
 * part only where its tensor is present; `pre` receives g, which has the bias in it. With slope_of there is an
 * activation. Offset `at` serves c, pre, slope_of and addend; a kernel binds tensors of these names. */
#ifndef SSA_EPILOGUE_H
#define SSA_EPILOGUE_H
#include "gelu.h"

#ifndef EPILOGUE_STORE
#define EPILOGUE_STORE STORE
#endif
#define EPILOGUE(c, g, at, part, activation) \
    do { \
        vec e_ = (g); \
        if (pre) \
            EPILOGUE_STORE(pre + (at), e_, part); \
        if (slope_of) \
            e_ *= vec_activate_slope(LOAD(slope_of + (at), part), activation); \
        else if (activation) \
            e_ = vec_activate(e_, activation); \
        if (addend) \
            e_ += LOAD(addend + (at), part); \
        EPILOGUE_STORE((c) + (at), e_, part); \
    } while (0)
#endif
