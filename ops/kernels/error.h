// Errors inside the library are exceptions; runtime.cc turns them into OrtStatus at the C boundary.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace onnxpool {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Shapes and attributes are printed as Python prints lists.
template <typename T>
std::ostream& operator<<(std::ostream& out, const std::vector<T>& values) {
  out << '[';
  for (size_t i = 0; i < values.size(); ++i) out << (i ? ", " : "") << values[i];
  return out << ']';
}

template <typename... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw Error(text.str());
}

}  // namespace onnxpool
