#define ASG_KERNELS baseline
#include "reduce_kernels.inc"
