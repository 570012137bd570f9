#include "collectives.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "reduce.h"

namespace asg {

namespace {

// Large enough that the price of a message does not show, small enough that reducing one piece overlaps the transfer of the next.
constexpr size_t kSegmentBytes = 512 * 1024;
// Pieces on their way from each peer while one is reduced.
constexpr size_t kWindow = 4;
// Below this a root sends everything itself; above, the others pass pieces on.
constexpr size_t kDirectBroadcastBytes = 256 * 1024;

struct Shard {
  size_t offset;
  size_t bytes;
};

enum class Result { kEverywhere, kRoot, kShard };

// Reduce-scatter by direct exchange, each rank reducing its own shard in the order of the ranks, with the way back overlapped: the
// reduced pieces leave while the next ones arrive.
class Reduction {
 public:
  Reduction(Context& context, const uint8_t* in, uint8_t* out, std::vector<Shard> shards, int dtype, int op, Result result, int root)
      : context_(context), in_(in), out_(out), shards_(std::move(shards)), dtype_(dtype), op_(op), result_(result), root_(root),
        rank_(context.rank), size_(context.size), mine_(shards_[rank_]) {
    // Every rank computes the same segment size, so both ends of a connection cut a shard alike.
    size_t largest = 0;
    for (const auto& shard : shards_) largest = std::max(largest, shard.bytes);
    const auto align = element_size(dtype) * 64;
    segment_ = std::max((kSegmentBytes / align) * align, align);
    if (largest < segment_ * 2) segment_ = std::max((largest / 2 + align - 1) / align * align, align);
  }

  void run(Deadline deadline) {
    if (size_ == 1) {
      if (in_ != out_) std::memmove(out_, in_, mine_.bytes);
      return;
    }
    const bool keep = result_ != Result::kRoot || rank_ == root_;
    const auto slots = std::min(kWindow, segments(mine_));
    const auto stride = segment_ * std::max<size_t>(slots, 1);
    auto* scratch = context_.scratch(stride * (size_ - 1) + (keep ? 0 : mine_.bytes));
    auto* reduced = keep ? (result_ == Result::kShard ? out_ : out_ + mine_.offset) : scratch + stride * (size_ - 1);

    Buffer source(context_, const_cast<uint8_t*>(in_), total_bytes());
    Buffer back(context_, reduced, mine_.bytes);
    std::vector<std::unique_ptr<Buffer>> pieces(size_), gathered(size_);
    for (int step = 1; step < size_; step++) {
      const auto peer = (rank_ + step) % size_;
      pieces[peer] = std::make_unique<Buffer>(context_, scratch + stride * (step - 1), stride);
      if (receives_from(peer)) gathered[peer] = std::make_unique<Buffer>(context_, out_ + shards_[peer].offset, shards_[peer].bytes);
    }

    size_t longest = 0;
    for (const auto& shard : shards_) longest = std::max(longest, segments(shard));
    size_t sent = 0, sent_back = 0;
    auto issue = [&](size_t k) {
      for (int step = 1; step < size_; step++) {
        const auto peer = (rank_ + step) % size_;
        if (k < segments(mine_)) pieces[peer]->receive(peer, kData, (k % slots) * segment_, length(mine_, k));
        if (k < segments(shards_[peer])) {
          source.send(peer, kData, shards_[peer].offset + k * segment_, length(shards_[peer], k));
          sent++;
          // What comes back overwrites what was sent, and cannot arrive before the peer had it all.
          if (gathered[peer]) gathered[peer]->receive(peer, kGathered, k * segment_, length(shards_[peer], k));
        }
      }
    };

    for (size_t k = 0; k < std::min(kWindow, longest); k++) issue(k);
    std::vector<const void*> inputs(size_);
    for (size_t k = 0; k < longest; k++) {
      if (k < segments(mine_)) {
        for (int peer = 0; peer < size_; peer++) {
          if (peer == rank_) {
            inputs[peer] = in_ + mine_.offset + k * segment_;
            continue;
          }
          pieces[peer]->wait_receive(peer, deadline);
          const auto step = (peer - rank_ + size_) % size_;
          inputs[peer] = scratch + stride * (step - 1) + (k % slots) * segment_;
        }
        reduce_local(dtype_, op_, reduced + k * segment_, inputs.data(), size_, length(mine_, k) / element_size(dtype_));
        for (int step = 1; step < size_; step++) {
          const auto peer = (rank_ + step) % size_;
          if (!sends_to(peer)) continue;
          back.send(peer, kGathered, k * segment_, length(mine_, k));
          sent_back++;
        }
      }
      if (k + kWindow < longest) issue(k + kWindow);
    }
    for (int peer = 0; peer < size_; peer++) {
      if (!gathered[peer]) continue;
      for (size_t k = 0; k < segments(shards_[peer]); k++) gathered[peer]->wait_receive(peer, deadline);
    }
    for (; sent > 0; sent--) source.wait_send(-1, deadline);
    for (; sent_back > 0; sent_back--) back.wait_send(-1, deadline);
  }

 private:
  bool sends_to(int peer) const { return result_ == Result::kEverywhere || (result_ == Result::kRoot && peer == root_); }
  bool receives_from(int peer) const {
    return shards_[peer].bytes > 0 && (result_ == Result::kEverywhere || (result_ == Result::kRoot && rank_ == root_));
  }
  size_t segments(const Shard& shard) const { return (shard.bytes + segment_ - 1) / segment_; }
  size_t length(const Shard& shard, size_t k) const { return std::min(segment_, shard.bytes - k * segment_); }
  size_t total_bytes() const { return shards_.back().offset + shards_.back().bytes; }

  Context& context_;
  const uint8_t* in_;
  uint8_t* out_;
  const std::vector<Shard> shards_;
  const int dtype_;
  const int op_;
  const Result result_;
  const int root_;
  const int rank_;
  const int size_;
  const Shard mine_;
  size_t segment_;
};

// Even shards that start at cache lines; the last ones may be short or empty.
std::vector<Shard> cut(size_t count, size_t element, int size) {
  const auto per_rank = ((count + size - 1) / size + 63) / 64 * 64;
  std::vector<Shard> shards;
  for (int i = 0; i < size; i++) {
    const auto start = std::min(count, per_rank * i);
    shards.push_back({start * element, (std::min(count, start + per_rank) - start) * element});
  }
  return shards;
}

}  // namespace

void exchange_v(
    Context& context, const void* const* send, const int64_t* send_bytes, void* const* recv, const int64_t* recv_bytes, uint64_t slot,
    Deadline deadline) {
  const auto rank = context.rank, size = context.size;
  std::vector<std::unique_ptr<Buffer>> sends(size), receives(size);
  for (int step = 1; step < size; step++) {
    const auto from = (rank + size - step) % size;
    if (recv_bytes[from] == 0) continue;
    receives[from] = std::make_unique<Buffer>(context, recv[from], recv_bytes[from]);
    receives[from]->receive(from, slot, 0, recv_bytes[from]);
  }
  for (int step = 1; step < size; step++) {
    const auto to = (rank + step) % size;
    if (send_bytes[to] == 0) continue;
    sends[to] = std::make_unique<Buffer>(context, const_cast<void*>(send[to]), send_bytes[to]);
    sends[to]->send(to, slot, 0, send_bytes[to]);
  }
  if (recv_bytes[rank] > 0 && recv[rank] != send[rank]) std::memmove(recv[rank], send[rank], recv_bytes[rank]);
  for (int peer = 0; peer < size; peer++)
    if (receives[peer]) receives[peer]->wait_receive(peer, deadline);
  for (int peer = 0; peer < size; peer++)
    if (sends[peer]) sends[peer]->wait_send(peer, deadline);
}

void broadcast(Context& context, uint8_t* data, size_t bytes, int root, Deadline deadline) {
  const auto rank = context.rank, size = context.size;
  if (size == 1 || bytes == 0) return;
  std::vector<const void*> send(size, data);
  std::vector<void*> recv(size, data);
  std::vector<int64_t> send_bytes(size, 0), recv_bytes(size, 0);
  if (size == 2 || bytes <= kDirectBroadcastBytes) {
    if (rank == root) {
      for (int i = 0; i < size; i++) send_bytes[i] = i == root ? 0 : bytes;
    } else {
      recv_bytes[root] = bytes;
    }
    exchange_v(context, send.data(), send_bytes.data(), recv.data(), recv_bytes.data(), kData, deadline);
    return;
  }
  // The root sends each other rank one piece, and these pass their pieces on to each other.
  auto index = [&](int peer) { return (peer - root + size) % size - 1; };
  const auto piece = ((bytes + size - 2) / (size - 1) + 63) / 64 * 64;
  auto start = [&](int peer) { return std::min(bytes, piece * index(peer)); };
  auto length = [&](int peer) { return std::min(bytes, start(peer) + piece) - start(peer); };
  if (rank == root) {
    for (int i = 0; i < size; i++) {
      if (i == root) continue;
      send[i] = data + start(i);
      send_bytes[i] = length(i);
    }
  } else {
    recv[root] = data + start(rank);
    recv_bytes[root] = length(rank);
  }
  exchange_v(context, send.data(), send_bytes.data(), recv.data(), recv_bytes.data(), kData, deadline);
  if (rank == root) return;
  recv_bytes[root] = 0;
  for (int i = 0; i < size; i++) {
    if (i == root || i == rank) continue;
    send[i] = data + start(rank);
    send_bytes[i] = length(rank);
    recv[i] = data + start(i);
    recv_bytes[i] = length(i);
  }
  exchange_v(context, send.data(), send_bytes.data(), recv.data(), recv_bytes.data(), kGathered, deadline);
}

void all_reduce(Context& context, uint8_t* data, size_t count, int dtype, int op, Deadline deadline) {
  if (count == 0) return;
  Reduction(context, data, data, cut(count, element_size(dtype), context.size), dtype, op, Result::kEverywhere, -1).run(deadline);
}

void reduce(Context& context, uint8_t* data, size_t count, int dtype, int op, int root, Deadline deadline) {
  if (count == 0) return;
  Reduction(context, data, data, cut(count, element_size(dtype), context.size), dtype, op, Result::kRoot, root).run(deadline);
}

void reduce_scatter(Context& context, const uint8_t* in, uint8_t* out, size_t count, int dtype, int op, Deadline deadline) {
  if (count == 0) return;
  std::vector<Shard> shards;
  const auto bytes = count * element_size(dtype);
  for (int i = 0; i < context.size; i++) shards.push_back({bytes * i, bytes});
  Reduction(context, in, out, std::move(shards), dtype, op, Result::kShard, -1).run(deadline);
}

}  // namespace asg
