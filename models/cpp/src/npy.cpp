#include "npy.hpp"

#include <algorithm>
#include <cstring>

#include "fault.hpp"

namespace {

/// Longest header accepted; numpy writes 128 bytes for these arrays.
constexpr std::size_t max_header_bytes = 4096;
constexpr std::size_t max_axes = 8;
/// What may follow the data inside a member; numpy writes nothing there.
constexpr std::uint64_t max_padding_bytes = 1 << 20;

/// The header's text: a Python dictionary of three known keys, and nothing else is understood.
class Dictionary {
 public:
  explicit Dictionary(std::string text) : text_(std::move(text)) {}

  ArrayHeader parse() {
    bool seen_descr = false, seen_order = false, seen_shape = false;
    ArrayHeader header;
    expect('{');
    while (!accept('}')) {
      const std::string key = quoted();
      expect(':');
      if (key == "descr" && !seen_descr) {
        descr(header, quoted());
        seen_descr = true;
      } else if (key == "fortran_order" && !seen_order) {
        if (boolean()) throw Fault("it is stored column by column; save it by numpy.ascontiguousarray");
        seen_order = true;
      } else if (key == "shape" && !seen_shape) {
        shape(header);
        seen_shape = true;
      } else {
        fail();
      }
      if (!accept(',') && peek() != '}') fail();
    }
    if (peek() != '\0' || at_ != text_.size() || !(seen_descr && seen_order && seen_shape)) fail();
    return header;
  }

 private:
  [[noreturn]] static void fail() { throw Fault("its header is not one that numpy writes"); }

  char peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool accept(char wanted) {
    if (peek() != wanted) return false;
    ++at_;
    return true;
  }
  void expect(char wanted) {
    if (!accept(wanted)) fail();
  }
  std::string quoted() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') fail();
    const std::size_t end = text_.find(quote, at_ + 1);
    if (end == std::string::npos) fail();
    std::string inside = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return inside;
  }
  bool boolean() {
    peek();
    for (const auto& [word, value] : {std::pair<std::string, bool>{"True", true}, {"False", false}}) {
      if (text_.compare(at_, word.size(), word) == 0) {
        at_ += word.size();
        return value;
      }
    }
    fail();
  }
  void shape(ArrayHeader& header) {
    expect('(');
    while (!accept(')')) {
      header.shape.push_back(number());
      if (header.shape.size() > max_axes || (!accept(',') && peek() != ')')) fail();
    }
  }
  std::uint64_t number() {
    peek();
    const std::size_t from = at_;
    std::uint64_t value = 0;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9' && at_ - from < 18)
      value = value * 10 + static_cast<std::uint64_t>(text_[at_++] - '0');
    if (at_ == from) fail();
    return value;
  }
  static void descr(ArrayHeader& header, const std::string& text) {
    static constexpr const char* known[] = {"b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"};
    const auto is = [&](const char* name) { return text.size() == 3 && text.compare(1, 2, name) == 0; };
    if (std::none_of(std::begin(known), std::end(known), is) || !std::strchr("|<>=", text[0]))
      throw Fault("its dtype is '" + text.substr(0, 40) + "', not integers or floats of 32 or 64 bits");
    header.big_endian = text[0] == '>';
    header.kind = text[1];
    header.item_bytes = static_cast<std::size_t>(text[2] - '0');
  }

  std::string text_;
  std::size_t at_ = 0;
};

template <typename T>
double number_at(const unsigned char* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return static_cast<double>(value);
}

double convert(const ArrayHeader& header, const unsigned char* from) {
  switch (header.kind == 'b' ? 'u' : header.kind) {
    case 'f':
      return header.item_bytes == 4 ? number_at<float>(from) : number_at<double>(from);
    case 'i':
      return header.item_bytes == 1   ? number_at<std::int8_t>(from)
             : header.item_bytes == 2 ? number_at<std::int16_t>(from)
             : header.item_bytes == 4 ? number_at<std::int32_t>(from)
                                      : number_at<std::int64_t>(from);
    default:
      return header.item_bytes == 1   ? number_at<std::uint8_t>(from)
             : header.item_bytes == 2 ? number_at<std::uint16_t>(from)
             : header.item_bytes == 4 ? number_at<std::uint32_t>(from)
                                      : number_at<std::uint64_t>(from);
  }
}

std::uint64_t item_count(const std::vector<std::uint64_t>& shape) {
  std::uint64_t count = 1;
  for (const std::uint64_t length : shape)
    if (__builtin_mul_overflow(count, length, &count)) throw Fault("its header claims an impossible shape");
  return count;
}

}  // namespace

ArrayHeader read_header(MemberReader& member) {
  unsigned char start[8];
  member.read(start, sizeof start);
  if (std::memcmp(start, "\x93NUMPY", 6) != 0) throw Fault("it is not an array of numpy's");
  if (start[6] < 1 || start[6] > 3) throw Fault("its format version is " + std::to_string(start[6]));
  unsigned char size[4] = {};
  member.read(size, start[6] == 1 ? 2 : 4);
  const std::size_t length = size[0] | size[1] << 8U | size[2] << 16U | static_cast<std::size_t>(size[3]) << 24U;
  if (length > max_header_bytes) throw Fault("its header is too long");
  std::string text(length, ' ');
  member.read(text.data(), length);
  ArrayHeader header = Dictionary(std::move(text)).parse();
  std::uint64_t bytes = 0;
  if (__builtin_mul_overflow(item_count(header.shape), header.item_bytes, &bytes) || bytes > member.left())
    throw Fault("its header claims " + shape_text(header.shape) + ", more than it holds");
  if (member.left() - bytes > max_padding_bytes) throw Fault("it holds more than its header claims");
  return header;
}

std::vector<double> read_numbers(MemberReader& member, const ArrayHeader& header) {
  const std::size_t count = item_count(header.shape);
  std::vector<unsigned char> raw(count * header.item_bytes);
  member.read(raw.data(), raw.size());
  std::vector<double> numbers(count);
  for (std::size_t i = 0; i < count; ++i) {
    unsigned char* item = raw.data() + i * header.item_bytes;
    if (header.big_endian) std::reverse(item, item + header.item_bytes);
    numbers[i] = convert(header, item);
  }
  return numbers;
}

std::string npy_header(const std::string& descr, const std::vector<std::uint64_t>& shape) {
  std::string text = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape_text(shape) + ", }";
  constexpr std::size_t before = 10, alignment = 64;
  text.append(alignment - 1 - (before + text.size()) % alignment, ' ');
  text += '\n';
  std::string header = "\x93NUMPY";
  header += {'\x01', '\x00', static_cast<char>(text.size() & 0xff), static_cast<char>(text.size() >> 8)};
  return header + text;
}

std::string shape_text(const std::vector<std::uint64_t>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}
