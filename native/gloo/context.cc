#include "context.h"

#include <gloo/transport/address.h>
#include <gloo/transport/pair.h>

#include <algorithm>
#include <cstring>
#include <exception>

#include "asg_gloo.h"

namespace asg {

namespace {

// Gloo's event loop treats a zero or negative time-out as none, and waits with 32-bit care nowhere: keep both ends sane.
std::chrono::milliseconds remaining(Deadline deadline) {
  auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
  return std::clamp(left, std::chrono::milliseconds(1), std::chrono::milliseconds(std::chrono::hours(24 * 30)));
}

}  // namespace

Buffer::Buffer(Context& context, void* data, size_t bytes) : context_(context), exceptions_(std::uncaught_exceptions()) {
  buffer_ = context.transport_->createUnboundBuffer(data, bytes);
  std::lock_guard<std::mutex> lock(context_.buffers_mutex_);
  context_.buffers_.insert(this);
}

Buffer::~Buffer() {
  // A buffer that goes while a message is on its way would leave the event loop spinning on its socket: close first.
  if (std::uncaught_exceptions() > exceptions_) context_.close_pairs();
  std::lock_guard<std::mutex> lock(context_.buffers_mutex_);
  context_.buffers_.erase(this);
}

template <typename F>
void Buffer::run(int peer, F&& f) {
  try {
    if (context_.aborted_.load(std::memory_order_acquire)) throw Error(ASG_ABORTED, "the group was aborted");
    f();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {
    if (context_.aborted_.load(std::memory_order_acquire)) throw Error(ASG_ABORTED, "the group was aborted");
    throw Error(ASG_PEER_LOST, e.what(), peer);
  }
}

void Buffer::send(int peer, uint64_t slot, size_t offset, size_t bytes) {
  run(peer, [&] { buffer_->send(peer, slot, offset, bytes); });
}

void Buffer::receive(int peer, uint64_t slot, size_t offset, size_t bytes) {
  run(peer, [&] { buffer_->recv(peer, slot, offset, bytes); });
}

void Buffer::wait_send(int peer, Deadline deadline) {
  run(peer, [&] {
    try {
      if (!buffer_->waitSend(nullptr, remaining(deadline))) throw Error(ASG_ABORTED, "the group was aborted");
    } catch (const Error&) {
      throw;
    } catch (const std::exception& e) {
      if (Clock::now() >= deadline) throw Error(ASG_TIMEOUT, e.what(), peer);
      throw;
    }
  });
}

void Buffer::wait_receive(int peer, Deadline deadline) {
  run(peer, [&] {
    try {
      if (!buffer_->waitRecv(nullptr, remaining(deadline))) throw Error(ASG_ABORTED, "the group was aborted");
    } catch (const Error&) {
      throw;
    } catch (const std::exception& e) {
      if (Clock::now() >= deadline) throw Error(ASG_TIMEOUT, e.what(), peer);
      throw;
    }
  });
}

bool Buffer::poll_receive() noexcept {
  try {
    return buffer_->waitRecv(nullptr, std::chrono::milliseconds(1));
  } catch (...) {
    return false;
  }
}

void Buffer::wake() {
  buffer_->abortWaitRecv();
  buffer_->abortWaitSend();
}

Context::Context(
    std::shared_ptr<gloo::transport::Device> device, int rank, int size, size_t stage_bytes, std::chrono::milliseconds timeout)
    : rank(rank), size(size), device_(std::move(device)), stage_bytes_((stage_bytes + 63) / 64 * 64) {
  transport_ = device_->createContext(rank, size);
  // Gloo waits five times this long for a connection.
  transport_->setTimeout(std::max(timeout / 5, std::chrono::milliseconds(1)));
  // An address for each peer, in the order of the ranks; its own place stays empty.
  for (int i = 0; i < size; i++) {
    if (i == rank) continue;
    auto bytes = transport_->createPair(i)->address().bytes();
    if (address_.empty()) address_.resize(bytes.size() * size);
    std::memcpy(address_.data() + bytes.size() * i, bytes.data(), bytes.size());
  }
}

Context::~Context() {
  // The pairs' own destructors close softly, so that what is still in the kernel reaches the peers; an abort has reset them before.
  stage_send_.reset();
  for (auto& set : stage_receive_) set.clear();
}

void Context::connect(const uint8_t* addresses) {
  const auto one = address_.size() / size;
  for (int i = 0; i < size; i++) {
    if (i == rank) continue;
    // What rank i wrote for this rank.
    auto start = reinterpret_cast<const char*>(addresses) + address_.size() * i + one * rank;
    try {
      transport_->getPair(i)->connect(std::vector<char>(start, start + one));
    } catch (const std::exception& e) {
      throw Error(aborted_.load() ? ASG_ABORTED : ASG_PEER_LOST, e.what(), i);
    }
  }
  stage_out_.resize(stage_bytes_);
  stage_send_ = std::make_unique<Buffer>(*this, stage_out_.data(), stage_bytes_);
  for (int set = 0; set < 2; set++) {
    stage_[set].resize(stage_bytes_ * size);
    for (int i = 0; i < size; i++) {
      stage_receive_[set].push_back(i == rank ? nullptr : std::make_unique<Buffer>(*this, stage_[set].data() + stage_bytes_ * i, stage_bytes_));
      if (set == 0 && i != rank) stage_receive_[0][i]->receive(i, kExchange, 0, stage_bytes_);
    }
  }
}

const uint8_t* Context::exchange(const void* message, size_t bytes, Deadline deadline, uint8_t* arrived) {
  if (bytes > stage_bytes_) throw Error(ASG_INVALID, "the message is larger than the exchange buffer");
  const auto set = exchanges_++ & 1;
  std::memset(arrived, 0, size);
  std::memcpy(stage_[set].data() + stage_bytes_ * rank, message, bytes);
  arrived[rank] = 1;
  if (size == 1) return stage_[set].data();
  std::memcpy(stage_out_.data(), message, bytes);
  for (int step = 1; step < size; step++) stage_send_->send((rank + step) % size, kExchange, 0, bytes);
  for (int step = 1; step < size; step++) {
    const auto peer = (rank + size - step) % size;
    stage_receive_[set ^ 1][peer]->receive(peer, kExchange, 0, stage_bytes_);
  }
  try {
    for (int step = 1; step < size; step++) {
      const auto peer = (rank + size - step) % size;
      stage_receive_[set][peer]->wait_receive(peer, deadline);
      arrived[peer] = 1;
    }
    for (int step = 1; step < size; step++) stage_send_->wait_send((rank + step) % size, deadline);
  } catch (...) {
    for (int i = 0; i < size; i++)
      if (!arrived[i]) arrived[i] = stage_receive_[set][i]->poll_receive();
    throw;
  }
  return stage_[set].data();
}

uint8_t* Context::scratch(size_t bytes) {
  if (bytes > scratch_bytes_) {
    scratch_.reset();
    scratch_.reset(new uint8_t[bytes]);
    scratch_bytes_ = bytes;
  }
  return scratch_.get();
}

void Context::abort() {
  aborted_.store(true, std::memory_order_release);
  {
    std::lock_guard<std::mutex> lock(buffers_mutex_);
    for (auto* buffer : buffers_) buffer->wake();
  }
  close_pairs();
}

void Context::close_pairs() {
  for (int i = 0; i < size; i++) {
    if (i == rank) continue;
    try {
      if (auto& pair = transport_->getPair(i)) pair->close();
    } catch (...) {
      // Closing is the last thing that happens to a pair; there is nobody to tell and nothing to undo.
    }
  }
}

}  // namespace asg
