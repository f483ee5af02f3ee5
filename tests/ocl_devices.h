/* The OpenCL devices here, as a program finds them that links the loader itself. */
#ifndef SSA_TEST_OCL_DEVICES_H
#define SSA_TEST_OCL_DEVICES_H

#include "ssacl/ocl.h"

/* At most `most`; returns how many. None of oclgrind, an interpreter. */
cl_uint test_ocl_devices(cl_device_id *ids, cl_uint most);

#endif
