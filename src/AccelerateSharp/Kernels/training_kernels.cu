// What a transformer does between its matrix products, each in one pass over the memory. Compiled at run time; needs no header.
//
// Everything is computed in float32, whatever it is stored in. Rows are contiguous, and as wide as the comments say.

typedef unsigned short half_t;
typedef unsigned int word_t;

struct Float32 { typedef float stored; };
struct BFloat16 { typedef half_t stored; };
struct Float16 { typedef half_t stored; };

__device__ __forceinline__ float half_to_float(half_t value) {
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value));
  return result;
}

__device__ __forceinline__ half_t float_to_half(float value) {
  half_t result;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result) : "f"(value));
  return result;
}

__device__ __forceinline__ half_t float_to_bfloat16(float value) {
  half_t result;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result) : "f"(value));
  return result;
}

__device__ __forceinline__ float load(const float* from, Float32) { return *from; }
__device__ __forceinline__ float load(const half_t* from, BFloat16) { return __uint_as_float((word_t)*from << 16); }
__device__ __forceinline__ float load(const half_t* from, Float16) { return half_to_float(*from); }

__device__ __forceinline__ void store(float* to, float value, Float32) { *to = value; }
__device__ __forceinline__ void store(half_t* to, float value, BFloat16) { *to = float_to_bfloat16(value); }
__device__ __forceinline__ void store(half_t* to, float value, Float16) { *to = float_to_half(value); }

// Eight neighbours at an address that is a multiple of their size.
__device__ __forceinline__ void load8(const float* from, float* to, Float32) {
  float4 low = ((const float4*)from)[0], high = ((const float4*)from)[1];
  to[0] = low.x; to[1] = low.y; to[2] = low.z; to[3] = low.w;
  to[4] = high.x; to[5] = high.y; to[6] = high.z; to[7] = high.w;
}

template <typename T>
__device__ __forceinline__ void load8(const half_t* from, float* to, T type) {
  uint4 words = *(const uint4*)from;
  const half_t* parts = (const half_t*)&words;
#pragma unroll
  for (int i = 0; i < 8; i++) to[i] = load(parts + i, type);
}

__device__ __forceinline__ void store8(float* to, const float* from, Float32) {
  ((float4*)to)[0] = make_float4(from[0], from[1], from[2], from[3]);
  ((float4*)to)[1] = make_float4(from[4], from[5], from[6], from[7]);
}

template <typename T>
__device__ __forceinline__ void store8(half_t* to, const float* from, T type) {
  uint4 words;
  half_t* parts = (half_t*)&words;
#pragma unroll
  for (int i = 0; i < 8; i++) store(parts + i, from[i], type);
  *(uint4*)to = words;
}

#define INFINITE __uint_as_float(0x7f800000u)

struct Sum { static __device__ __forceinline__ float of(float a, float b) { return a + b; } };
struct Max { static __device__ __forceinline__ float of(float a, float b) { return fmaxf(a, b); } };

// Of all threads of a block, to all of them; at most 1024 threads, in whole warps.
template <typename Operation>
__device__ __forceinline__ float reduce_block(float mine, float neutral) {
  __shared__ float parts[32];
#pragma unroll
  for (int step = 16; step > 0; step >>= 1) mine = Operation::of(mine, __shfl_xor_sync(0xffffffffu, mine, step));
  // Whoever still reads the parts of the reduction before must be done.
  __syncthreads();
  if ((threadIdx.x & 31) == 0) parts[threadIdx.x >> 5] = mine;
  __syncthreads();
  mine = (threadIdx.x & 31) < (blockDim.x >> 5) ? parts[threadIdx.x & 31] : neutral;
#pragma unroll
  for (int step = 16; step > 0; step >>= 1) mine = Operation::of(mine, __shfl_xor_sync(0xffffffffu, mine, step));
  return mine;
}

// Rotary positions. A thread rotates eight pairs (d, d + width / 2) of one head of one token by the angles of its position;
// `direction` -1 rotates back, which is the gradient. Width is a multiple of 16. Strides are in elements, batch, head, time;
// those of the tables are of batch (0 where all rows share the positions) and time.
template <typename T>
__device__ __forceinline__ void rotate(
    const typename T::stored* input, typename T::stored* output, const float* cosines, const float* sines, float direction,
    long long batch, long long heads, long long length, int width,
    long long in_batch, long long in_head, long long in_time, long long out_batch, long long out_head, long long out_time,
    long long table_batch, long long table_time) {
  int half = width / 2, pieces = half / 8;
  long long index = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  int first = (int)(index % pieces) * 8;
  long long row = index / pieces, h = row % heads, t = row / heads % length, b = row / heads / length;
  if (b >= batch) return;
  const typename T::stored* from = input + b * in_batch + h * in_head + t * in_time + first;
  typename T::stored* to = output + b * out_batch + h * out_head + t * out_time + first;
  long long at = b * table_batch + t * table_time + first;
  float low[8], high[8], cosine[8], sine[8], rotated_low[8], rotated_high[8];
  load8(from, low, T());
  load8(from + half, high, T());
  load8(cosines + at, cosine, Float32());
  // The sines of the first half are stored negative.
  load8(sines + at + half, sine, Float32());
#pragma unroll
  for (int i = 0; i < 8; i++) {
    float s = direction * sine[i];
    rotated_low[i] = low[i] * cosine[i] - high[i] * s;
    rotated_high[i] = high[i] * cosine[i] + low[i] * s;
  }
  store8(to, rotated_low, T());
  store8(to + half, rotated_high, T());
}

// silu(gate) * up, eight elements a thread; count is a multiple of 8.
template <typename T>
__device__ __forceinline__ void gated(
    const typename T::stored* gate, const typename T::stored* up, typename T::stored* product, long long count) {
  long long at = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * 8;
  if (at >= count) return;
  float g[8], u[8];
  load8(gate + at, g, T());
  load8(up + at, u, T());
#pragma unroll
  for (int i = 0; i < 8; i++) u[i] *= g[i] / (1.0f + __expf(-g[i]));
  store8(product + at, u, T());
}

template <typename T>
__device__ __forceinline__ void gated_backward(
    const typename T::stored* gradient, const typename T::stored* gate, const typename T::stored* up,
    typename T::stored* of_gate, typename T::stored* of_up, long long count) {
  long long at = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * 8;
  if (at >= count) return;
  float d[8], g[8], u[8];
  load8(gradient + at, d, T());
  load8(gate + at, g, T());
  load8(up + at, u, T());
#pragma unroll
  for (int i = 0; i < 8; i++) {
    float sigmoid = 1.0f / (1.0f + __expf(-g[i])), silu = g[i] * sigmoid;
    float slope = sigmoid * (1.0f + g[i] * (1.0f - sigmoid));
    g[i] = d[i] * u[i] * slope;
    u[i] = d[i] * silu;
  }
  store8(of_gate + at, g, T());
  store8(of_up + at, u, T());
}

// RMSNorm of one row for each block: x / sqrt(mean(x^2) + epsilon) * weight. Width is a multiple of 8.
template <typename In, typename Weight, typename Out>
__device__ __forceinline__ void rms_norm(
    const typename In::stored* input, const typename Weight::stored* weight, typename Out::stored* output, float* inverses, int width, float epsilon) {
  const typename In::stored* from = input + (long long)blockIdx.x * width;
  typename Out::stored* to = output + (long long)blockIdx.x * width;
  float x[8], w[8], squares = 0.0f;
  for (int at = threadIdx.x * 8; at < width; at += blockDim.x * 8) {
    load8(from + at, x, In());
#pragma unroll
    for (int i = 0; i < 8; i++) squares += x[i] * x[i];
  }
  float inverse = rsqrtf(reduce_block<Sum>(squares, 0.0f) / width + epsilon);
  if (threadIdx.x == 0) inverses[blockIdx.x] = inverse;
  for (int at = threadIdx.x * 8; at < width; at += blockDim.x * 8) {
    load8(from + at, x, In());
    load8(weight + at, w, Weight());
#pragma unroll
    for (int i = 0; i < 8; i++) x[i] *= inverse * w[i];
    store8(to + at, x, Out());
  }
}

// Its gradients. A block goes over every gridDim.x-th row and leaves its share of the weight's gradient in a row of `shares`,
// which are added up afterwards. Width is at most 32 elements for each thread.
template <typename In, typename Weight, typename Out>
__device__ __forceinline__ void rms_norm_backward(
    const typename Out::stored* gradient, const typename In::stored* input, const typename Weight::stored* weight, const float* inverses,
    typename In::stored* of_input, float* shares, long long rows, int width) {
  float share[4][8];
#pragma unroll
  for (int piece = 0; piece < 4; piece++)
#pragma unroll
    for (int i = 0; i < 8; i++) share[piece][i] = 0.0f;
  for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
    long long start = row * width;
    float inverse = inverses[row], product = 0.0f;
    float g[8], x[8], w[8];
#pragma unroll
    for (int piece = 0; piece < 4; piece++) {
      int at = (piece * blockDim.x + threadIdx.x) * 8;
      if (at >= width) break;
      load8(gradient + start + at, g, Out());
      load8(input + start + at, x, In());
      load8(weight + at, w, Weight());
#pragma unroll
      for (int i = 0; i < 8; i++) {
        float normalized = x[i] * inverse;
        product += g[i] * w[i] * normalized;
        share[piece][i] += g[i] * normalized;
      }
    }
    float mean = reduce_block<Sum>(product, 0.0f) / width;
#pragma unroll
    for (int piece = 0; piece < 4; piece++) {
      int at = (piece * blockDim.x + threadIdx.x) * 8;
      if (at >= width) break;
      load8(gradient + start + at, g, Out());
      load8(input + start + at, x, In());
      load8(weight + at, w, Weight());
#pragma unroll
      for (int i = 0; i < 8; i++) x[i] = inverse * (g[i] * w[i] - x[i] * inverse * mean);
      store8(of_input + start + at, x, In());
    }
  }
#pragma unroll
  for (int piece = 0; piece < 4; piece++) {
    int at = (piece * blockDim.x + threadIdx.x) * 8;
    if (at < width) store8(shares + (long long)blockIdx.x * width + at, share[piece], Float32());
  }
}

// Cross entropy of one row of logits for each block, and the gradient of the logits times the row's weight; `gradient` may be null.
template <typename T>
__device__ __forceinline__ void cross_entropy(
    const float* logits, const long long* targets, const float* weights, float* losses, typename T::stored* gradient, long long vocabulary, float smoothing) {
  const float* row = logits + blockIdx.x * vocabulary;
  float largest = -INFINITE, sum = 0.0f, total = 0.0f;
  for (long long i = threadIdx.x; i < vocabulary; i += blockDim.x) {
    float value = row[i];
    total += value;
    if (value > largest) {
      sum *= __expf(largest - value);
      largest = value;
    }
    // An infinite logit has no difference to itself.
    sum += value == largest ? 1.0f : __expf(value - largest);
  }
  float peak = reduce_block<Max>(largest, -INFINITE);
  sum = reduce_block<Sum>(largest == peak ? sum : sum * __expf(largest - peak), 0.0f);
  float log_sum = peak + __logf(sum);
  if (smoothing > 0.0f) total = reduce_block<Sum>(total, 0.0f);
  long long target = targets[blockIdx.x];
  if (threadIdx.x == 0)
    losses[blockIdx.x] = (1.0f - smoothing) * (log_sum - row[target]) + (smoothing > 0.0f ? smoothing * (log_sum - total / vocabulary) : 0.0f);
  if (!gradient) return;
  float weight = weights[blockIdx.x], spread = smoothing / vocabulary;
  typename T::stored* to = gradient + blockIdx.x * vocabulary;
  for (long long i = threadIdx.x; i < vocabulary; i += blockDim.x) {
    float probability = __expf(row[i] - log_sum) - spread;
    if (i == target) probability -= 1.0f - smoothing;
    store(to + i, weight * probability, T());
  }
}

#define ELEMENTWISE(NAME, T)                                                                                                          \
  extern "C" __global__ void rotate_##NAME(                                                                                           \
      const T::stored* input, T::stored* output, const float* cosines, const float* sines, float direction, long long batch,          \
      long long heads, long long length, int width, long long in_batch, long long in_head, long long in_time, long long out_batch,    \
      long long out_head, long long out_time, long long table_batch, long long table_time) {                                          \
    rotate<T>(input, output, cosines, sines, direction, batch, heads, length, width, in_batch, in_head, in_time, out_batch, out_head, \
              out_time, table_batch, table_time);                                                                                     \
  }                                                                                                                                   \
  extern "C" __global__ void gated_##NAME(const T::stored* gate, const T::stored* up, T::stored* product, long long count) {          \
    gated<T>(gate, up, product, count);                                                                                               \
  }                                                                                                                                   \
  extern "C" __global__ void gated_backward_##NAME(                                                                                   \
      const T::stored* gradient, const T::stored* gate, const T::stored* up, T::stored* of_gate, T::stored* of_up, long long count) { \
    gated_backward<T>(gradient, gate, up, of_gate, of_up, count);                                                                     \
  }                                                                                                                                   \
  extern "C" __global__ void __launch_bounds__(1024) cross_entropy_##NAME(                                                            \
      const float* logits, const long long* targets, const float* weights, float* losses, T::stored* gradient, long long vocabulary,  \
      float smoothing) {                                                                                                              \
    cross_entropy<T>(logits, targets, weights, losses, gradient, vocabulary, smoothing);                                              \
  }

ELEMENTWISE(f32, Float32)
ELEMENTWISE(bf16, BFloat16)
ELEMENTWISE(f16, Float16)

#define NORM(NAME, IN, WEIGHT, OUT)                                                                                                    \
  extern "C" __global__ void __launch_bounds__(256) rms_norm_##NAME(                                                                   \
      const IN::stored* input, const WEIGHT::stored* weight, OUT::stored* output, float* inverses, int width, float epsilon) {         \
    rms_norm<IN, WEIGHT, OUT>(input, weight, output, inverses, width, epsilon);                                                        \
  }                                                                                                                                    \
  extern "C" __global__ void __launch_bounds__(256) rms_norm_backward_##NAME(                                                          \
      const OUT::stored* gradient, const IN::stored* input, const WEIGHT::stored* weight, const float* inverses, IN::stored* of_input, \
      float* shares, long long rows, int width) {                                                                                      \
    rms_norm_backward<IN, WEIGHT, OUT>(gradient, input, weight, inverses, of_input, shares, rows, width);                              \
  }

NORM(f32_f32_f32, Float32, Float32, Float32)
NORM(f32_f32_bf16, Float32, Float32, BFloat16)
NORM(f32_f32_f16, Float32, Float32, Float16)
NORM(bf16_f32_bf16, BFloat16, Float32, BFloat16)
NORM(f16_f32_f16, Float16, Float32, Float16)
NORM(bf16_bf16_bf16, BFloat16, BFloat16, BFloat16)
NORM(f16_f16_f16, Float16, Float16, Float16)
