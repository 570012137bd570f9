// Float8 quantisation in one pass over the memory. Compiled at run time; needs no header. Compute capability 8.9 and above.
//
// A value v is stored as the float8 nearest to v * scale; what lies outside of the format's range becomes its largest number.

typedef unsigned char byte_t;
typedef unsigned short half_t;
typedef unsigned int word_t;

enum Format { E4M3 = 0, E5M2 = 1 };

struct Float32 { typedef float stored; };
struct BFloat16 { typedef half_t stored; };
struct Float16 { typedef half_t stored; };

__device__ __forceinline__ float from_half(word_t bits) {
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"((half_t)bits));
  return result;
}

__device__ __forceinline__ word_t to_half(float value) {
  half_t result;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result) : "f"(value));
  return result;
}

// Eight neighbours of a row, in float32.
__device__ __forceinline__ void load8(const float* from, float* to, Float32) {
  float4 low = ((const float4*)from)[0], high = ((const float4*)from)[1];
  to[0] = low.x; to[1] = low.y; to[2] = low.z; to[3] = low.w;
  to[4] = high.x; to[5] = high.y; to[6] = high.z; to[7] = high.w;
}

__device__ __forceinline__ void load8(const half_t* from, float* to, BFloat16) {
  uint4 words = *(const uint4*)from;
  word_t parts[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    to[2 * i] = __uint_as_float(parts[i] << 16);
    to[2 * i + 1] = __uint_as_float(parts[i] & 0xffff0000u);
  }
}

__device__ __forceinline__ void load8(const half_t* from, float* to, Float16) {
  uint4 words = *(const uint4*)from;
  word_t parts[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    to[2 * i] = from_half(parts[i]);
    to[2 * i + 1] = from_half(parts[i] >> 16);
  }
}

// Two values as two float8 in the lower and the upper byte.
template <int FORMAT>
__device__ __forceinline__ word_t pair(float low, float high) {
  half_t result;
  if (FORMAT == E4M3) asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(result) : "f"(high), "f"(low));
  else asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(result) : "f"(high), "f"(low));
  return result;
}

// Two E4M3 in the lower and the upper byte as two float16 in the halves of a word.
__device__ __forceinline__ word_t unpack(word_t codes) {
  word_t result;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(result) : "h"((half_t)codes));
  return result;
}

// Four E4M3 in float32.
__device__ __forceinline__ void decode4(word_t codes, float factor, float* to) {
  word_t low = unpack(codes & 0xffff), high = unpack(codes >> 16);
  to[0] = from_half(low) * factor;
  to[1] = from_half(low >> 16) * factor;
  to[2] = from_half(high) * factor;
  to[3] = from_half(high >> 16) * factor;
}

__device__ __forceinline__ word_t encode4(const float* from, float scale) {
  return pair<E4M3>(from[0] * scale, from[1] * scale) | pair<E4M3>(from[2] * scale, from[3] * scale) << 16;
}

__device__ __forceinline__ void load_half4(const half_t* from, float factor, float* to) {
  uint2 words = *(const uint2*)from;
  to[0] = from_half(words.x) * factor;
  to[1] = from_half(words.x >> 16) * factor;
  to[2] = from_half(words.y) * factor;
  to[3] = from_half(words.y >> 16) * factor;
}

__device__ __forceinline__ void store_half4(half_t* to, const float* from) {
  *(uint2*)to = make_uint2(to_half(from[0]) | to_half(from[1]) << 16, to_half(from[2]) | to_half(from[3]) << 16);
}

// The largest of a block, added to the tensor's. Floats that are not negative are ordered like their bits; a NaN stands above all.
__device__ __forceinline__ void publish_amax(word_t mine, float* amax) {
  __shared__ word_t largest[8];
#pragma unroll
  for (int step = 16; step > 0; step >>= 1) {
    word_t other = __shfl_xor_sync(0xffffffffu, mine, step);
    mine = other > mine ? other : mine;
  }
  int thread = threadIdx.x;
  if ((thread & 31) == 0) largest[thread >> 5] = mine;
  __syncthreads();
  if (thread == 0) {
    for (int i = 1; i < 8; i++) mine = largest[i] > mine ? largest[i] : mine;
    if (mine > *(volatile word_t*)amax) atomicMax((word_t*)amax, mine);
  }
  // The memory serves the next tensor.
  __syncthreads();
}

// The scale that brings `amax` to the format's largest number; 1 where there is nothing to scale, or no finite number.
template <int FORMAT>
__device__ __forceinline__ float scale_for(float amax, float margin) {
  float largest = FORMAT == E4M3 ? 448.0f : 57344.0f;
  if (!(amax > 0.0f) || !(amax <= 3.402823466e38f)) return 1.0f;
  return fminf(__fmul_rn(__fdiv_rn(largest, amax), margin), 3.402823466e38f);
}

// One block turns 128 rows x 64 columns into float8, as they are (`plain`, [rows, columns]) and transposed (`turned`,
// [columns, padded_rows], zeros behind the rows); either may be null. Columns are a multiple of 16.
template <typename T, int FORMAT>
__device__ __forceinline__ void quantize(
    const typename T::stored* __restrict__ input, byte_t* __restrict__ plain, byte_t* __restrict__ turned, const float* given_scale,
    float* amax, float* inverse, long long rows, long long columns, long long padded_rows, float margin, int current) {
  // 32 words of four rows each for a column, and one more against bank conflicts.
  __shared__ word_t tile[64 * 33];
  int thread = threadIdx.x;
  int group = thread & 7, quad = thread >> 3;
  long long row = (long long)blockIdx.y * 128 + quad * 4;
  long long column = (long long)blockIdx.x * 64 + group * 8;
  float scale = current ? scale_for<FORMAT>(*amax, margin) : *given_scale;
  if (blockIdx.x == 0 && blockIdx.y == 0 && thread == 0) *inverse = __fdiv_rn(1.0f, scale);

  word_t largest = 0;
  word_t low[4] = {0, 0, 0, 0}, high[4] = {0, 0, 0, 0};
  if (column < columns) {
    // All loads are under way before the first value is used.
    float values[4][8];
#pragma unroll
    for (int i = 0; i < 4; i++)
      if (row + i < rows) load8(input + (row + i) * columns + column, values[i], T());
#pragma unroll
    for (int i = 0; i < 4; i++) {
      if (row + i >= rows) continue;
#pragma unroll
      for (int j = 0; j < 8; j++) {
        word_t magnitude = __float_as_uint(values[i][j]) & 0x7fffffffu;
        largest = magnitude > largest ? magnitude : largest;
      }
      low[i] = pair<FORMAT>(values[i][0] * scale, values[i][1] * scale) | pair<FORMAT>(values[i][2] * scale, values[i][3] * scale) << 16;
      high[i] = pair<FORMAT>(values[i][4] * scale, values[i][5] * scale) | pair<FORMAT>(values[i][6] * scale, values[i][7] * scale) << 16;
      if (plain) *(uint2*)(plain + (row + i) * columns + column) = make_uint2(low[i], high[i]);
    }
  }

  if (turned) {
    // Four rows of one column make one word.
#pragma unroll
    for (int j = 0; j < 4; j++) {
      word_t shift = 8 * j;
      word_t first = (low[0] >> shift & 255) | (low[1] >> shift & 255) << 8 | (low[2] >> shift & 255) << 16 | (low[3] >> shift & 255) << 24;
      word_t second = (high[0] >> shift & 255) | (high[1] >> shift & 255) << 8 | (high[2] >> shift & 255) << 16 | (high[3] >> shift & 255) << 24;
      tile[(group * 8 + j) * 33 + quad] = first;
      tile[(group * 8 + 4 + j) * 33 + quad] = second;
    }
    __syncthreads();
#pragma unroll
    for (int pass = 0; pass < 2; pass++) {
      int line = pass * 32 + (thread >> 3), part = (thread & 7) * 4;
      long long to_row = (long long)blockIdx.x * 64 + line, to_column = (long long)blockIdx.y * 128 + part * 4;
      if (to_row >= columns || to_column >= padded_rows) continue;
      const word_t* words = tile + line * 33 + part;
      *(uint4*)(turned + to_row * padded_rows + to_column) = make_uint4(words[0], words[1], words[2], words[3]);
    }
  }

  if (!current && amax) publish_amax(largest, amax);
}

// The largest magnitude of a tensor whose length is a multiple of 8.
template <typename T>
__device__ __forceinline__ void find_amax(const typename T::stored* input, float* amax, long long count) {
  word_t largest = 0;
  long long stride = (long long)gridDim.x * blockDim.x * 8;
  for (long long at = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * 8; at < count; at += stride) {
    float values[8];
    load8(input + at, values, T());
#pragma unroll
    for (int j = 0; j < 8; j++) {
      word_t magnitude = __float_as_uint(values[j]) & 0x7fffffffu;
      largest = magnitude > largest ? magnitude : largest;
    }
  }
  publish_amax(largest, amax);
}

#define QUANTIZE(TYPE, FORMAT, NAME)                                                                                          \
  extern "C" __global__ void __launch_bounds__(256) quantize_##NAME(                                                          \
      const TYPE::stored* input, byte_t* plain, byte_t* turned, const float* scale, float* amax, float* inverse,              \
      long long rows, long long columns, long long padded_rows, float margin, int current) {                                  \
    quantize<TYPE, FORMAT>(input, plain, turned, scale, amax, inverse, rows, columns, padded_rows, margin, current);          \
  }

#define AMAX(TYPE, NAME)                                                                                                      \
  extern "C" __global__ void __launch_bounds__(256) amax_##NAME(const TYPE::stored* input, float* amax, long long count) {    \
    find_amax<TYPE>(input, amax, count);                                                                                      \
  }

QUANTIZE(Float32, E4M3, f32_e4m3)
QUANTIZE(Float32, E5M2, f32_e5m2)
QUANTIZE(BFloat16, E4M3, bf16_e4m3)
QUANTIZE(BFloat16, E5M2, bf16_e5m2)
QUANTIZE(Float16, E4M3, f16_e4m3)
QUANTIZE(Float16, E5M2, f16_e5m2)
AMAX(Float32, f32)
AMAX(BFloat16, bf16)
AMAX(Float16, f16)

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
