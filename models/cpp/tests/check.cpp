// What the program does without its networks, one piece at a time, for tests that compare it with numpy and OpenCV.
//
//   check read FILE...                                says of each file whether it is a case
//   check case PIPELINE FILE PIXELS SQUARE            what is made of a case before its networks
//   check resize area|linear FILE OUT                 `image` at each of `sizes` (N, 2: height, width), end to end;
//                                                     16 bits by area alone
//   check masks PIPELINE FILE OUT                     masks of `logits` (N, 256, 256) and what is made of them
//   check networks ROOT CASE                          where a case's networks lie
//   check segment PIPELINE KEPT FILE OUT              a case segmented with the stub network, so many embeddings kept
//   check phases NAME                                 a line of known figures, and this process's age
//   check memory GROUPS ARRAYS                        memory given, embeddings kept beside arrays of so many bytes
//   check limited BYTES FILE...                       as read, with so much memory
//   check widen COUNT FIRST LAST FILE OUT             so many weights, of which these runs alone are widened
//   check rebase XML BIN FILE                         XML and FILE, changed
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "case.hpp"
#include "daft.hpp"
#include "fault.hpp"
#include "geometry.hpp"
#include "int24.hpp"
#include "memory.hpp"
#include "npy.hpp"
#include "phases.hpp"
#include "pipeline.hpp"
#include "rebase.hpp"
#include "resize.hpp"
#include "segment.hpp"
#include "stub.hpp"
#include "zip.hpp"

namespace {

using Words = std::vector<std::string>;

struct Array {
  ArrayHeader header;
  std::vector<double> numbers;
};

Array read_array(const std::string& path, const std::string& key) {
  const Archive archive(path);
  MemberReader member = archive.open(key + ".npy");
  Array array;
  array.header = read_header(member);
  array.numbers = read_numbers(member, array.header);
  return array;
}

template <typename Number>
void write_flat(const std::string& path, const std::string& descr, const std::vector<Number>& numbers) {
  write_npz(path, "flat", descr, {numbers.size()}, numbers.data(), numbers.size() * sizeof(Number));
}

void print(const char* name, const std::optional<Prompt>& prompt) {
  if (prompt) {
    std::printf("%s %.9g %.9g %.9g %.9g\n", name, static_cast<double>((*prompt)[0]), static_cast<double>((*prompt)[1]),
                static_cast<double>((*prompt)[2]), static_cast<double>((*prompt)[3]));
  } else {
    std::printf("%s none\n", name);
  }
}

int read_cases(const Words& paths, std::uint64_t memory_bytes) {
  int code = 0;
  for (const std::string& path : paths) {
    try {
      const Case image = read_case(path, memory_bytes);
      std::printf("ok %zu %zu\n", image.boxes.size(), image.slices_read);
    } catch (const Fault& fault) {
      std::printf("error: %s: %s\n", path.c_str(), fault.what());
      code = 2;
    }
  }
  return code;
}

void describe_case(const Words& words) {
  const Pipeline pipeline = read_pipeline(words[0]);
  const Case image = read_case(words[1], memory_given());
  const std::size_t bytes = image.slices_read * image.height * image.width * image.channels;
  write_npz(words[2], "flat", "|u1", {bytes}, image.pixels.get(), bytes);
  write_flat(words[3], "<f4", network_input({image.slice(0), image.height, image.width, image.channels}, pipeline));
  for (const Box& box : image.boxes) {
    print("prompt", prompt_of(box, {image.height, image.width}, pipeline));
    if (!image.volume) continue;
    const SliceRange slices = slices_of(box, image.depth, pipeline);
    std::printf("slices %zu %zu %zu\n", slices.first, slices.middle, slices.last);
  }
}

template <typename Number, typename Resize>
void resize_all(const Array& image, const Array& sizes, const Resize& one_size, const std::string& out,
                const char* descr) {
  const std::vector<Number> pixels(image.numbers.begin(), image.numbers.end());
  const auto& shape = image.header.shape;
  const View<Number> view{pixels.data(), shape.at(0), shape.at(1), shape.size() > 2 ? shape[2] : 1};
  std::vector<Number> flat;
  for (std::size_t i = 0; i < sizes.numbers.size(); i += 2) {
    const auto height = static_cast<std::size_t>(sizes.numbers[i]);
    const auto width = static_cast<std::size_t>(sizes.numbers[i + 1]);
    const std::vector<Number> one = one_size(view, height, width);
    flat.insert(flat.end(), one.begin(), one.end());
  }
  write_flat(out, descr, flat);
}

void resize(const Words& words) {
  const Interpolation how = words[0] == "area" ? Interpolation::area : Interpolation::linear;
  const Array image = read_array(words[1], "image"), sizes = read_array(words[1], "sizes");
  if (image.header.item_bytes == 1) {
    const auto by = [&](const auto& view, std::size_t h, std::size_t w) { return resized(view, h, w, how); };
    resize_all<std::uint8_t>(image, sizes, by, words[2], "|u1");
  } else {
    const auto by = [](const auto& view, std::size_t h, std::size_t w) { return resized_by_area(view, h, w); };
    resize_all<std::uint16_t>(image, sizes, by, words[2], "<u2");
  }
}

void masks(const Words& words) {
  const Pipeline pipeline = read_pipeline(words[0]);
  const Array given = read_array(words[1], "logits"), size = read_array(words[1], "size");
  const Array numbers = read_array(words[1], "numbers");
  const std::vector<float> logits(given.numbers.begin(), given.numbers.end());
  const Size image{static_cast<std::size_t>(size.numbers.at(0)), static_cast<std::size_t>(size.numbers.at(1))};
  constexpr std::size_t side = 256;
  std::vector<std::uint8_t> flat;
  for (std::size_t i = 0; i < numbers.numbers.size(); ++i) {
    const Mask mask = mask_of(&logits.at(i * side * side), side, image, pipeline);
    std::vector<std::uint8_t> whole(image.height * image.width, 0);
    const std::uint8_t* set = mask.inside.data();
    for (std::size_t y = mask.top; y < mask.bottom; ++y)
      for (std::size_t x = mask.left; x < mask.right; ++x) whole[y * image.width + x] = *set++;
    flat.insert(flat.end(), whole.begin(), whole.end());
    print("next", next_prompt(mask, static_cast<std::size_t>(numbers.numbers[i]), image, pipeline));
  }
  write_flat(words[2], "|u1", flat);
}

void segment_case(const Words& words) {
  const Pipeline pipeline = read_pipeline(words[0]);
  StubNetwork network(pipeline.side);
  Phases phases;
  const Case image = read_case(words[2], memory_given());
  Labels labels(image, pipeline);
  segment(image, pipeline, network, std::stoul(words[1]), labels, phases);
  labels.write(words[3]);
  std::printf("%s %zu %zu\n", name_of(pipeline.precision), phases.slices, phases.masks);
}

void say_phases(const std::string& name) {
  Phases phases;
  phases.import_s = 0.0124;
  phases.load_s = 1;
  phases.read_s = 0.0006;
  {
    const Within encoding(phases.encode_s);
  }
  phases.decode_s = 1234.5;
  phases.write_s = 2;
  phases.slices = 28;
  phases.masks = 129;
  std::printf("%s\n%s\n%.2f\n", phases.line(name, 1240.0).c_str(), Phases().line(name, -1).c_str(), process_age_s());
}

void say_memory(const Words& words) {
  const std::uint64_t given = memory_given(words[0]);
  std::printf("%llu %zu\n", static_cast<unsigned long long>(given), embeddings_kept(given, std::stoull(words[1])));
}

Bytes content(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

template <typename Contents>
void write_file(const std::string& path, const Contents& contents) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(contents.data()),
             static_cast<std::streamsize>(contents.size() * sizeof(contents[0])));
}

void widen(const Words& words) {
  const std::size_t count = std::stoull(words[0]);
  const Bytes packed = content(words[3]);
  if (packed.size() != int24::bytes_of(count)) throw Fault("so many weights take other bytes");
  std::vector<float> floats(count);
  int24::widen(packed.data(), count, std::stoull(words[1]), std::stoull(words[2]), floats.data());
  write_file(words[4], floats);
}

void rebase(const Words& words) {
  const Bytes xml = content(words[0]);
  Bytes file = content(words[2]);
  write_file(words[0], rebased({xml.begin(), xml.end()}, content(words[1]), file));
  write_file(words[2], file);
}

int run(const Words& words) {
  const std::string command = words.empty() ? "" : words[0];
  const Words rest(words.begin() + (words.empty() ? 0 : 1), words.end());
  if (command == "read") return read_cases(rest, memory_given());
  if (command == "limited" && !rest.empty()) return read_cases({rest.begin() + 1, rest.end()}, std::stoull(rest[0]));
  if (command == "widen" && rest.size() == 5) return widen(rest), 0;
  if (command == "rebase" && rest.size() == 3) return rebase(rest), 0;
  if (command == "segment" && rest.size() == 4) return segment_case(rest), 0;
  if (command == "phases" && rest.size() == 1) return say_phases(rest[0]), 0;
  if (command == "memory" && rest.size() == 2) return say_memory(rest), 0;
  if (command == "case" && rest.size() == 4) return describe_case(rest), 0;
  if (command == "resize" && rest.size() == 3) return resize(rest), 0;
  if (command == "masks" && rest.size() == 3) return masks(rest), 0;
  if (command == "networks" && rest.size() == 2) return std::printf("%s\n", networks_of(rest[0], rest[1]).c_str()), 0;
  throw Fault("the commands stand at the top of check.cpp");
}

}  // namespace

int main(int count, char** words) {
  try {
    return run({words + 1, words + count});
  } catch (const Fault& fault) {
    std::fprintf(stderr, "error: %s\n", fault.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 3;
  }
}
