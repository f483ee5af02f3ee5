"""What tests/isa.sh reckons with, without any GPU's compiler: occupancy, groups, counts of operations, loops."""
import os
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "isa"))
import isa  # noqa: E402

PTX = """.visible .entry gemm_gpu(
	.param .u64 gemm_gpu_param_0,
	.param .u32 gemm_gpu_param_1
)
{
	ex2.approx.ftz.f32 	%f1, %f2;
	fma.rn.f32 	%f3, %f1, %f2, %f3;
	div.full.f32 	%f3, %f1, %f2;
}
"""
SASS = """.L_x_1:
        /*0010*/                   FFMA R1, R2, R3, R1 ;
.L_x_2:
        /*0020*/                   FFMA R1, R2, R3, R1 ;
        /*0030*/                   LDS.128 R4, [R5] ;
        /*0040*/              @!P0 BRA `(.L_x_2) ;
        /*0050*/              @P1  BRA `(.L_x_1) ;
"""


def source_of(name, *options):
    with tempfile.TemporaryDirectory() as at:
        path = os.path.join(at, name + ".cl")
        with open(path, "w", encoding="utf-8") as f:
            f.write(isa.mistakes.resolved(isa, name))
        return isa.Source(isa.find_tools()["cc"], path, ["-DSSA_GPU=1", *options])


class Isa(unittest.TestCase):
    def test_source(self):
        backward = source_of("attention_bwd_gpu", "-DD=64", "-DSIDE=16", "-DEACH=8")
        self.assertEqual(backward.sizes, {"attention_bwd_prepare": (64, 1, 1), "attention_bwd_queries": (256, 1, 1),
                                          "attention_bwd_sources": (256, 1, 1)})
        self.assertEqual(backward.group("attention_bwd_sources"), 256)
        self.assertEqual(backward.asked["attention_bwd_queries"], {"exp2": 40, "divide": 0, "fma": 384})
        pairs = source_of("attention_bwd_gpu", "-DD=64", "-DSIDE=16", "-DEACH=8", "-DPAIRS=1")
        self.assertEqual(pairs.asked["attention_bwd_queries"], {"exp2": 4, "divide": 2, "fma": 384})
        dropped = source_of("attention_bwd_gpu", "-DD=64", "-DSIDE=16", "-DEACH=8", "-DPAIRS=2")
        self.assertEqual(dropped.asked, pairs.asked)
        few = source_of("attention_bwd_gpu", "-DD=64", "-DSIDE=16", "-DTALL=4", "-DEACH=4", "-DREGISTERS=128")
        self.assertEqual(few.group("attention_bwd_queries"), 64)
        self.assertEqual(few.asked["attention_bwd_sources"], {"exp2": 16, "divide": 0, "fma": 2 * 16 + 16})
        self.assertEqual(source_of("gemm_gpu", "-DSIDE=8", "-DTILE=32").sizes, {"gemm_gpu": (8, 8, 1)})
        self.assertEqual((source_of("norm").sizes["norm_fwd"], source_of("norm").group("norm_fwd")), (None, 64))
        intel = ["-DSUB_GROUP=8", "-Dcl_intel_required_subgroup_size=1", "-Dcl_intel_subgroups=1"]
        self.assertEqual(source_of("norm", *intel).sizes["norm_fwd"], (64, 1, 1))

    def test_every_kernel_that_is_asked_exists(self):
        kernels = {k for name, options in isa.units([], "spirv") for k in
                   source_of(name, *["-D" + o for o in options.split(",") if o]).sizes}
        self.assertEqual(set(isa.ASKED) - kernels, set())

    def test_groups(self):
        gemm = source_of("gemm_gpu")
        self.assertIn(")\n.reqntid 16, 16, 1\n{", isa.with_groups(PTX, gemm))
        with self.assertRaises(isa.Failure):
            isa.with_groups(PTX.replace("\n{", "\n.reqntid 64, 1, 1\n{"), gemm)
        with self.assertRaises(isa.Failure):
            isa.same_group(gemm, "gemm_gpu", None)
        with self.assertRaises(isa.Failure):
            isa.quiet("ptxas warning : of something")
        isa.quiet("warning: kernel x compiled SIMD8 allocated 128 regs and spilled around 8")

    def test_occupancy(self):
        for registers, local, group, percent in ((150, 16384, 256, 12), (129, 0, 256, 12), (128, 0, 256, 25),
                                                 (64, 0, 64, 50), (255, 0, 64, 12), (144, 0, 64, 18),
                                                 (32, 57344, 256, 25)):
            self.assertEqual(isa.nvidia_occupancy("sm_80", registers, local, group), percent)
        for target, registers, group, lanes, percent in (("gfx906", 64, 64, 64, 40), ("gfx906", 129, 256, 64, 10),
                                                         ("gfx90a", 128, 256, 64, 50), ("gfx90a", 129, 256, 64, 37),
                                                         ("gfx1100", 240, 256, 32, 37)):
            self.assertEqual(isa.amd_occupancy(target, registers, 0, group, lanes), percent)
        self.assertEqual(isa.intel_occupancy("acm-g10", 128, 0, 256, 8), 100)
        self.assertEqual(isa.intel_occupancy("tgllp", 128, 20000, 256, 8), 57)  # of 32 KiB: two groups in 64

    def test_counts(self):
        self.assertEqual(isa.count("ptx", PTX), {"exp2": 1, "divide": 1, "root": 0, "fma": 1})
        amd = "\tv_pk_fma_f32 v[0:1], v[2:3]\n\tv_dual_fmac_f32 v0, v1, v2 :: v_dual_fmac_f32 v3, v4, v5\n" \
              "\tv_fmac_f32_e32 v0, v1, v2\n\tv_exp_f32_e32 v1, v1\n\tv_rcp_iflag_f32_e32 v1, v1\n" \
              "\tv_rsq_f32_e32 v1, v2\n"
        self.assertEqual(isa.count("amd", amd), {"exp2": 1, "divide": 0, "root": 1, "fma": 5})
        intel = "        math.exp (8|M0)  r1.0<1>:f  r2.0<1;0>:f\n        mad (8|M0)  r1.0<1>:f  r2.0<1;0>:f\n" \
                "        mad (8|M0)  r1.0<1>:df  r2.0<1;0>:df\n (W)    math.rsqt (1|M0)  r1.0<1>:f\n"
        self.assertEqual(isa.count_intel(intel * 2, 16), {"exp2": 1, "divide": 0, "root": 2, "fma": 1})
        self.assertEqual(isa.missing({"exp2": 4, "fma": 2}, {"exp2": 1, "fma": 2}), ["1 of 4 exp2"])

    def test_loops(self):
        self.assertEqual(isa.hottest_loop(SASS), [1, 3])


if __name__ == "__main__":
    unittest.main()
