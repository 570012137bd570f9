// Adam on a weight that MS-AMP stores: gradient in E4M3, weight (or master weight) in float16, moments in float32 or, SMALL, in E4M3
// and float16 with a scale each. MASTER: the weight is also kept in E4M3. Where something has to be scaled by its largest, the first
// pass (write = 0) finds `amax` [first moment, second moment, weight], and the second one computes the same again and stores it, with the
// new scales in `inverses`.
template <bool SMALL, bool MASTER>
__device__ __forceinline__ void adam(
    const byte_t* gradients, const float* gradient_inverse, void* averages, const float* average_inverse, void* squares,
    const float* square_inverse, half_t* weights, byte_t* codes, const float* step, float* amax, float* inverses, long long count,
    float rate, float log_beta1, float log_beta2, float beta1, float beta2, float decay, float epsilon, int decoupled, int maximize, int write) {
  float correction1 = -rate / -expm1f(*step * log_beta1);
  float correction2 = sqrtf(1.0f / -expm1f(*step * log_beta2));
  float gradient_factor = maximize ? -*gradient_inverse : *gradient_inverse;
  float average_scale = 1.0f, square_factor = 1.0f, weight_scale = 1.0f;
  if (write && SMALL) {
    average_scale = scale_for<E4M3>(amax[0], 1.0f);
    square_factor = fmaxf(__fdiv_rn(amax[1], 65504.0f), 1.17549435e-38f);
  }
  if (write && MASTER) weight_scale = scale_for<E4M3>(amax[2], 1.0f);
  if (write && blockIdx.x == 0 && threadIdx.x == 0) {
    inverses[0] = __fdiv_rn(1.0f, average_scale);
    inverses[1] = square_factor;
    inverses[2] = __fdiv_rn(1.0f, weight_scale);
  }

  word_t largest_average = 0, largest_square = 0, largest_weight = 0;
  long long stride = (long long)gridDim.x * blockDim.x * 4;
  for (long long at = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * 4; at < count; at += stride) {
    float gradient[4], average[4], square[4], weight[4];
    decode4(*(const word_t*)(gradients + at), gradient_factor, gradient);
    load_half4(weights + at, 1.0f, weight);
    if (SMALL) {
      decode4(*(const word_t*)((const byte_t*)averages + at), *average_inverse, average);
      load_half4((const half_t*)squares + at, *square_inverse, square);
    } else {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        average[i] = ((const float*)averages)[at + i];
        square[i] = ((const float*)squares)[at + i];
      }
    }

#pragma unroll
    for (int i = 0; i < 4; i++) {
      if (decoupled) weight[i] *= 1.0f - rate * decay;
      else gradient[i] += decay * weight[i];
      average[i] = beta1 * average[i] + (1.0f - beta1) * gradient[i];
      square[i] = beta2 * square[i] + (1.0f - beta2) * gradient[i] * gradient[i];
      weight[i] += correction1 * average[i] / (sqrtf(square[i]) * correction2 + epsilon);
      if (MASTER) weight[i] = from_half(to_half(weight[i]));
    }

    if (!write) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        largest_average = max(largest_average, __float_as_uint(average[i]) & 0x7fffffffu);
        largest_square = max(largest_square, __float_as_uint(square[i]) & 0x7fffffffu);
        largest_weight = max(largest_weight, __float_as_uint(weight[i]) & 0x7fffffffu);
      }
      continue;
    }

    store_half4(weights + at, weight);
    if (MASTER) *(word_t*)(codes + at) = encode4(weight, weight_scale);
    if (SMALL) {
      *(word_t*)((byte_t*)averages + at) = encode4(average, average_scale);
      // What is not zero stays above zero: a weight whose second moment vanished would take a huge step.
#pragma unroll
      for (int i = 0; i < 4; i++) square[i] = square[i] == 0.0f ? 0.0f : fminf(fmaxf(__fdiv_rn(square[i], square_factor), 5.9604645e-8f), 65504.0f);
      store_half4((half_t*)squares + at, square);
    } else {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        ((float*)averages)[at + i] = average[i];
        ((float*)squares)[at + i] = square[i];
      }
    }
  }

  if (write) return;
  publish_amax(largest_average, amax);
  publish_amax(largest_square, amax + 1);
  if (MASTER) publish_amax(largest_weight, amax + 2);
}

#define ADAM(SMALL, MASTER, NAME)                                                                                             \
  extern "C" __global__ void __launch_bounds__(256) adam_##NAME(                                                              \
      const byte_t* gradients, const float* gradient_inverse, void* averages, const float* average_inverse, void* squares,    \
      const float* square_inverse, half_t* weights, byte_t* codes, const float* step, float* amax, float* inverses,           \
      long long count, float rate, float log_beta1, float log_beta2, float beta1, float beta2, float decay, float epsilon,    \
      int decoupled, int maximize, int write) {                                                                               \
    adam<SMALL, MASTER>(                                                                                                      \
        gradients, gradient_inverse, averages, average_inverse, squares, square_inverse, weights, codes, step, amax,          \
        inverses, count, rate, log_beta1, log_beta2, beta1, beta2, decay, epsilon, decoupled, maximize, write);               \
  }

ADAM(false, false, o1)
ADAM(true, false, o2)
ADAM(true, true, o3)
