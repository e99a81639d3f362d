#include "rebase.hpp"

#include <cstring>
#include <limits>
#include <map>
#include <utility>

#include "fault.hpp"

namespace {

/// Smaller constants are not worth looking for.
constexpr std::size_t worth_finding = 4096;
/// Of a constant, so many bytes are looked for before the rest is compared.
constexpr std::size_t probe = 256;
static_assert(probe <= worth_finding);
constexpr std::size_t alignment = 64;

struct Place {
  std::size_t offset, size;
  bool operator<(const Place& other) const {
    return std::pair(offset, size) < std::pair(other.offset, other.size);
  }
};

/// An attribute's value within a tag: where it begins, and its length.
std::pair<std::size_t, std::size_t> attribute(const std::string& xml, std::size_t begin, std::size_t end,
                                              const std::string& name) {
  const std::string opening = " " + name + "=\"";
  const std::size_t at = xml.find(opening, begin);
  const std::size_t from = at + opening.size(), to = at < end ? xml.find('"', from) : at;
  if (to >= end) throw Fault("a constant without " + name);
  return {from, to - from};
}

std::size_t number(const std::string& text) {
  if (text.empty() || text.size() > 18 || text.find_first_not_of("0123456789") != std::string::npos)
    throw Fault("a constant at " + text);
  return static_cast<std::size_t>(std::stoull(text));
}

constexpr std::size_t nowhere = std::numeric_limits<std::size_t>::max();

/// The first place from `begin` on at which the bytes stand.
std::size_t found(const Bytes& file, std::size_t begin, const std::uint8_t* wanted, std::size_t size) {
  while (begin < file.size() && size <= file.size() - begin) {
    const void* at = ::memmem(file.data() + begin, file.size() - begin - (size - probe), wanted, probe);
    if (at == nullptr) return nowhere;
    const auto place = static_cast<std::size_t>(static_cast<const std::uint8_t*>(at) - file.data());
    if (std::memcmp(file.data() + place, wanted, size) == 0) return place;
    begin = place + 1;
  }
  return nowhere;
}

}  // namespace

std::string rebased(const std::string& xml, const Bytes& weights, Bytes& file) {
  std::string changed;
  std::map<Place, std::size_t> known;
  std::size_t copied = 0, behind = 0;
  for (std::size_t layer = 0; (layer = xml.find("type=\"Const\"", layer)) != std::string::npos;) {
    const std::size_t tag = xml.find("<data ", layer), end = tag == std::string::npos ? tag : xml.find('>', tag);
    if (end == std::string::npos) throw Fault("a constant without data");
    const auto [offset_at, offset_length] = attribute(xml, tag, end, "offset");
    const auto [size_at, size_length] = attribute(xml, tag, end, "size");
    const Place place{number(xml.substr(offset_at, offset_length)), number(xml.substr(size_at, size_length))};
    if (place.size > weights.size() || place.offset > weights.size() - place.size)
      throw Fault("a constant that lies beyond the weights");

    const auto entry = known.find(place);
    std::size_t now = entry == known.end() ? nowhere : entry->second;
    const std::uint8_t* data = weights.data() + place.offset;
    if (now == nowhere && place.size >= worth_finding) {
      // One mostly lies behind the one before it.
      now = found(file, behind, data, place.size);
      if (now == nowhere) now = found(file, 0, data, place.size);
      if (now != nowhere) behind = now + place.size;
    }
    if (now == nowhere) {
      file.resize((file.size() + alignment - 1) / alignment * alignment);
      now = file.size();
      file.insert(file.end(), data, data + place.size);
    }
    known[place] = now;
    changed.append(xml, copied, offset_at - copied).append(std::to_string(now));
    copied = offset_at + offset_length;
    layer = end;
  }
  return changed.append(xml, copied, std::string::npos);
}
