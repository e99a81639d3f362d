#include "pipeline.hpp"

#include <cctype>
#include <fstream>
#include <iterator>
#include <map>

#include "fault.hpp"

namespace {

/// A JSON object of strings and whole numbers, one level deep, both as text.
class FlatObject {
 public:
  FlatObject(std::string text, std::string where) : text_(std::move(text)), where_(std::move(where)) {
    expect('{');
    while (peek() != '}') {
      std::string key = quoted();
      expect(':');
      values_[std::move(key)] = peek() == '"' ? quoted() : number();
      if (peek() != ',') break;
      ++at_;
    }
    expect('}');
  }

  std::string text(const std::string& key) const {
    const auto found = values_.find(key);
    if (found == values_.end()) throw Fault(where_ + ": it lacks \"" + key + "\"" + remedy);
    return found->second;
  }

  /// The same where the key may be missing.
  std::string text_or(const std::string& key, const std::string& otherwise) const {
    return has(key) ? text(key) : otherwise;
  }
  bool has(const std::string& key) const { return values_.count(key) > 0; }

  std::size_t number(const std::string& key, std::size_t least, std::size_t most) const {
    const std::string value = text(key);
    std::size_t result = 0;
    for (const char digit : value) {
      if (digit < '0' || digit > '9' || result > most) fail(key, value);
      result = result * 10 + static_cast<std::size_t>(digit - '0');
    }
    if (value.empty() || result < least || result > most) fail(key, value);
    return result;
  }

  /// Whether the value is `yes`; it must be that or `no`.
  bool either(const std::string& key, const std::string& yes, const std::string& no) const {
    const std::string value = text(key);
    if (value != yes && value != no) fail(key, value);
    return value == yes;
  }

  [[noreturn]] void fail(const std::string& key, const std::string& value) const {
    throw Fault(where_ + ": \"" + key + "\" is " + value.substr(0, 40) + ", which this program does not know" + remedy);
  }

 private:
  static constexpr const char* remedy = ". Make it again: python -m models export";

  char peek() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
    if (at_ == text_.size()) throw Fault(where_ + ": it is cut off" + remedy);
    return text_[at_];
  }
  void expect(char wanted) {
    if (peek() != wanted) throw Fault(where_ + ": it is not a flat JSON object" + remedy);
    ++at_;
  }
  std::string quoted() {
    expect('"');
    std::string inside;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (text_[at_] == '\\') ++at_;  // no value that matters has an escape
      if (at_ < text_.size()) inside += text_[at_++];
    }
    expect('"');
    return inside;
  }
  std::string number() {
    peek();
    const std::size_t from = at_;
    while (at_ < text_.size() && std::isalnum(static_cast<unsigned char>(text_[at_]))) ++at_;
    if (at_ == from) throw Fault(where_ + ": it is not a flat JSON object" + remedy);
    return text_.substr(from, at_ - from);
  }

  std::string text_, where_;
  std::size_t at_ = 0;
  std::map<std::string, std::string> values_;
};

const std::map<std::string, int> published_label_bits{
    {"litemedsam", 8}, {"medficientsam", 16}, {"daft", 16}, {daft_shared, 16}, {"repmedsam", 8}};

}  // namespace

const char* name_of(Precision precision) { return precision == Precision::bf16 ? "bf16" : "f32"; }

Precision precision_of(const std::string& name) {
  for (const Precision precision : {Precision::f32, Precision::bf16})
    if (name == name_of(precision)) return precision;
  throw Fault("precision is " + name + ", not f32 or bf16");
}

Pipeline read_pipeline(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw Fault(path.string() + ": it cannot be opened. Make it: python -m models export");
  const FlatObject object({std::istreambuf_iterator<char>(stream), {}}, path.string());
  constexpr std::size_t max_side = 4096, max_stride = 1 << 20;
  Pipeline pipeline;
  pipeline.algorithm = object.text("algorithm");
  pipeline.side = object.number("input_size", 1, max_side);
  pipeline.shrink = object.either("resize", "area", "linear") ? Interpolation::area : Interpolation::linear;
  pipeline.whole_pixels = object.either("box", "floored", "exact");
  pipeline.next_from_shrunk = object.either("next_box", "shrunk", "full");
  pipeline.margin = object.number("margin", 0, pipeline.side);
  pipeline.last_included = object.either("last_slice", "included", "excluded");
  pipeline.value_is_number = object.either("label_value", "number", "one");
  const bool published = object.either("mode", "published", "fixed");
  // Exports from before these keys were there are as their defaults say.
  const std::string precision = object.text_or("precision", "f32"), stored = object.text_or("stored", "f32");
  if (precision != "f32" && precision != "bf16") object.fail("precision", precision);
  pipeline.precision = precision_of(precision);
  // The networks' files tell how weights lie in them; a word from a later export is not to be passed over.
  if (stored != "f32" && stored != "int24" && stored != "f16" && stored != "int8") object.fail("stored", stored);
  if (object.has("stride")) pipeline.stride = object.number("stride", 1, max_stride);
  const auto label_bits = published_label_bits.find(pipeline.algorithm);
  if (label_bits == published_label_bits.end()) object.fail("algorithm", pipeline.algorithm);
  if (published) pipeline.label_bits = label_bits->second;
  // MedficientSAM's cache keeps references to one output tensor, which each inference overwrites.
  pipeline.stale_embeddings = published && pipeline.algorithm == "medficientsam";
  // DAFT's filter was meant to act; as published it never does.
  pipeline.clipped_to_box = !published && (pipeline.algorithm == "daft" || pipeline.algorithm == daft_shared);
  return pipeline;
}
