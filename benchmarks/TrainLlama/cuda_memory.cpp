// What torch.cuda.max_memory_allocated and max_memory_reserved read, for TrainLlama: TorchSharp has no memory statistics.
// Built by benchmarks/train_llama.sh against the PyTorch that runs the comparison.
#include <c10/cuda/CUDACachingAllocator.h>

extern "C" long long peak_bytes(int device, int reserved) {
  auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(device);
  return (reserved ? stats.reserved_bytes : stats.allocated_bytes)[0].peak;
}
