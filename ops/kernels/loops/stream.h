// Writes memory from one end to the other, past the caches where that is wanted.
//
// A store that goes past the caches does not read the line first that it writes to, which is a
// third of the traffic of a copy; but it has to write whole lines.
#pragma once

#include <cstdint>
#include <cstring>

#include "vector.h"

namespace onnxpool::ONNXPOOL_ISA {
namespace {

class Stream {
 public:
  // Writes from `to` on.
  Stream(void* to, bool past_caches) : to_(static_cast<char*>(to)), past_caches_(past_caches) {
    // Up to the first line, a store is an ordinary one.
    const auto off = static_cast<int64_t>(reinterpret_cast<uintptr_t>(to_) % kLine);
    until_line_ = off == 0 ? 0 : kLine - off;
  }

  ~Stream() { finish(); }

  void append(const void* from, int64_t bytes) {
    const char* p = static_cast<const char*>(from);
    if (!past_caches_) return copy(p, bytes);
    if (until_line_ > 0) {
      const int64_t head = bytes < until_line_ ? bytes : until_line_;
      copy(p, head);
      until_line_ -= head, p += head, bytes -= head;
    }
    if (waiting_count_ > 0) {
      const int64_t rest = kLine - waiting_count_, part = bytes < rest ? bytes : rest;
      std::memcpy(waiting_ + waiting_count_, p, static_cast<size_t>(part));
      waiting_count_ += part, p += part, bytes -= part;
      if (waiting_count_ < kLine) return;
      put_line(waiting_);
      waiting_count_ = 0;
    }
    for (; bytes >= kLine; p += kLine, bytes -= kLine) put_line(p);
    std::memcpy(waiting_, p, static_cast<size_t>(bytes));
    waiting_count_ = bytes;
  }

 private:
  static constexpr int64_t kLine = 64;

  void copy(const char* p, int64_t bytes) {
    std::memcpy(to_, p, static_cast<size_t>(bytes));
    to_ += bytes;
  }

  void put_line(const char* p) {
#if defined(ONNXPOOL_AVX512)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to_), _mm512_loadu_si512(p));
#elif defined(ONNXPOOL_AVX2)
    for (int i = 0; i < kLine; i += 32)
      _mm256_stream_si256(reinterpret_cast<__m256i*>(to_ + i),
                          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + i)));
#else
    std::memcpy(to_, p, kLine);
#endif
    to_ += kLine;
  }

  void finish() {
    copy(waiting_, waiting_count_);
    waiting_count_ = 0;
#if defined(ONNXPOOL_AVX512) || defined(ONNXPOOL_AVX2)
    // What reads Y next, in another thread too, comes after.
    if (past_caches_) _mm_sfence();
#endif
  }

  char* to_;
  const bool past_caches_;
  int64_t until_line_ = 0, waiting_count_ = 0;
  char waiting_[kLine];
};

}  // namespace
}  // namespace onnxpool::ONNXPOOL_ISA
