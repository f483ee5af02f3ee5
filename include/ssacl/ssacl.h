/** @file ssacl.h  Everything but ocl.h, which needs OpenCL's own headers. */
#ifndef SSACL_H
#define SSACL_H
#include "base.h"
#include "cache.h"
#include "checkpoint.h"
#include "data.h"
#include "device.h"
#include "evaluate.h"
#include "graph.h"
#include "model.h"
#include "ops.h"
#include "pool.h"
#include "ranks.h"
#include "sample.h"
#include "tensor.h"
#include "train.h"
#include "tuning.h"
#endif
