// The connections of one group: set-up, messages with deadlines, and an abort that reaches every pending wait.
#pragma once

#include <gloo/transport/context.h>
#include <gloo/transport/device.h>
#include <gloo/transport/unbound_buffer.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <unordered_set>
#include <vector>

namespace asg {

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;

// Message classes between two ranks; point-to-point tags have the highest bit set.
enum Slot : uint64_t { kExchange = 1, kData = 2, kGathered = 3 };

class Error : public std::runtime_error {
 public:
  Error(int32_t status, const std::string& message, int32_t peer = -1) : std::runtime_error(message), status(status), peer(peer) {}
  const int32_t status;
  const int32_t peer;
};

class Context;

// Memory known to the transport. Gloo leaves a wait hanging where a connection breaks in the middle of a message, so every buffer is
// registered with its context, whose abort wakes it.
class Buffer {
 public:
  Buffer(Context& context, void* data, size_t bytes);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void send(int peer, uint64_t slot, size_t offset, size_t bytes);
  void receive(int peer, uint64_t slot, size_t offset, size_t bytes);
  // Each waits for one completion, of any send or receive on this buffer; peer is what an error will name.
  void wait_send(int peer, Deadline deadline);
  void wait_receive(int peer, Deadline deadline);
  // Whether a receive has completed, without waiting; for use after an error.
  bool poll_receive() noexcept;
  void wake();

 private:
  template <typename F>
  void run(int peer, F&& f);

  Context& context_;
  const int exceptions_;
  std::unique_ptr<gloo::transport::UnboundBuffer> buffer_;
};

class Context {
 public:
  Context(std::shared_ptr<gloo::transport::Device> device, int rank, int size, size_t stage_bytes, std::chrono::milliseconds timeout);
  ~Context();

  size_t address_bytes() const { return address_.size(); }
  const uint8_t* address() const { return address_.data(); }
  void connect(const uint8_t* addresses);
  void abort();

  const uint8_t* exchange(const void* message, size_t bytes, Deadline deadline, uint8_t* arrived);

  // Scratch memory that is kept from call to call: fresh pages cost more than the copies into them.
  uint8_t* scratch(size_t bytes);

  const int rank;
  const int size;

 private:
  friend class Buffer;

  void close_pairs();

  std::shared_ptr<gloo::transport::Device> device_;
  std::shared_ptr<gloo::transport::Context> transport_;
  const size_t stage_bytes_;
  std::vector<uint8_t> address_;
  std::atomic<bool> aborted_{false};
  std::mutex buffers_mutex_;
  std::unordered_set<Buffer*> buffers_;

  // The exchange alternates between two sets of buffers, so that the receives of the next one are posted before anybody can be ready
  // to send: a message then goes out at once instead of after a round trip.
  uint64_t exchanges_ = 0;
  std::vector<uint8_t> stage_[2];
  std::vector<uint8_t> stage_out_;
  std::unique_ptr<Buffer> stage_send_;
  std::vector<std::unique_ptr<Buffer>> stage_receive_[2];

  std::unique_ptr<uint8_t[]> scratch_;
  size_t scratch_bytes_ = 0;
};

inline Deadline deadline_after(int64_t timeout_ms) { return Clock::now() + std::chrono::milliseconds(timeout_ms); }

}  // namespace asg
