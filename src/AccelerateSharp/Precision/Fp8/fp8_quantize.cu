// One block turns 128 rows x 64 columns into float8, as they are (`plain`, [rows, columns]) and transposed (`turned`,
// [columns, padded_rows], zeros behind the rows); either may be null. Columns are a multiple of 16.
template <typename T, int FORMAT>
__device__ __forceinline__ void quantize(
    const typename T::stored* input, byte_t* plain, byte_t* turned, const float* given_scale, float* amax, float* inverse,
    long long rows, long long columns, long long padded_rows, float margin, int current) {
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
#pragma unroll
    for (int i = 0; i < 4; i++) {
      if (row + i >= rows) continue;
      float values[8];
      load8(input + (row + i) * columns + column, values, T());
#pragma unroll
      for (int j = 0; j < 8; j++) {
        word_t magnitude = __float_as_uint(values[j]) & 0x7fffffffu;
        largest = magnitude > largest ? magnitude : largest;
      }
      low[i] = pair<FORMAT>(values[0] * scale, values[1] * scale) | pair<FORMAT>(values[2] * scale, values[3] * scale) << 16;
      high[i] = pair<FORMAT>(values[4] * scale, values[5] * scale) | pair<FORMAT>(values[6] * scale, values[7] * scale) << 16;
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
