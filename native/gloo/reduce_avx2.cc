#define ASG_KERNELS avx2
#include "reduce_kernels.inc"
