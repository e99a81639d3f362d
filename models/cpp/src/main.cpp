// `segment`: segments every case of a folder with exported networks.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <future>
#include <iostream>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "case.hpp"
#include "daft.hpp"
#include "fault.hpp"
#include "labels.hpp"
#include "memory.hpp"
#include "networks.hpp"
#include "phases.hpp"
#include "pipeline.hpp"
#include "segment.hpp"

namespace {

namespace fs = std::filesystem;

constexpr int done = 0, bad_input = 2, own_fault = 3;

constexpr const char* usage =
    "usage: segment [--networks DIR] [-i DIR] [-o DIR] [--precision f32|bf16]\n"
    "       segment --bake [--networks DIR] [--precision f32|bf16]\n"
    "\n"
    "Segments every .npz of one folder into another, and says of each on stderr where its time went.\n"
    "  --networks DIR  what `python -m models export` wrote, or a folder of such folders named as DAFT's models\n"
    "                  (3D, CT, ..., general); default: the folder networks beside this program\n"
    "  -i, -o DIR      default: /workspace/inputs, /workspace/outputs\n"
    "  --precision     what the networks compute in; default: as exported\n"
    "  --bake          write compiled networks beside the others, for CPUs like this one, and segment nothing\n";

struct Arguments {
  fs::path networks = fs::read_symlink("/proc/self/exe").parent_path() / "networks";
  fs::path inputs = "/workspace/inputs", outputs = "/workspace/outputs";
  std::optional<Precision> precision;
  bool bake = false, help = false;
};

Arguments parse(const std::vector<std::string>& words) {
  Arguments arguments;
  const std::map<std::string, fs::path*> folders{
      {"--networks", &arguments.networks}, {"-i", &arguments.inputs}, {"-o", &arguments.outputs}};
  const std::map<std::string, bool*> switches{{"--bake", &arguments.bake}, {"--help", &arguments.help}};
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (const auto found = switches.find(word); found != switches.end()) {
      *found->second = true;
      continue;
    }
    const auto folder = folders.find(word);
    if (folder == folders.end() && word != "--precision") throw Fault("unknown argument " + word + "\n" + usage);
    if (++i == words.size()) throw Fault(word + " needs a value\n" + usage);
    if (folder != folders.end()) {
      *folder->second = words[i];
    } else {
      arguments.precision = precision_of(words[i]);
    }
  }
  return arguments;
}

std::vector<fs::path> cases_in(const fs::path& folder) {
  if (!fs::is_directory(folder)) throw Fault(folder.string() + ": no such folder. Mount one with cases there.");
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".npz") paths.push_back(entry.path());
  if (paths.empty()) throw Fault(folder.string() + ": no .npz file. Mount a folder with cases there.");
  std::sort(paths.begin(), paths.end());
  return paths;
}

/// What `call` returns; on failure it is said of which case.
template <typename Call>
auto named(const fs::path& path, const Call& call) {
  try {
    return call();
  } catch (const Fault& fault) {
    throw Fault(path.string() + ": " + fault.what());
  }
}

/// Networks of one folder with their pipeline.
struct Algorithm {
  Algorithm(const fs::path& of, const std::optional<Precision>& precision)
      : folder(of),
        pipeline(read_pipeline(folder / "pipeline.json")),
        networks({folder, precision.value_or(pipeline.precision), cpus_given()}) {
    if (networks.side() != pipeline.side)
      throw Fault((folder / "pipeline.json").string() + ": input_size is not the encoder's");
  }

  fs::path folder;
  Pipeline pipeline;
  Networks networks;
};

class Program {
 public:
  /// Throws Fault where memory does not even suffice for the networks.
  Program(const Arguments& arguments, double import_s)
      : arguments_(arguments), memory_bytes_(memory_given()), import_s_(import_s) {
    require_memory(memory_bytes_, 0);
  }

  void segment_case(const fs::path& path) {
    Phases phases;
    phases.import_s = std::exchange(import_s_, 0);
    // Inflating and loading run side by side.
    auto reading = std::async(std::launch::async, [&] {
      return named(path, [&] { return read_case(path, memory_bytes_); });
    });
    {
      const Within loading(phases.load_s);
      load(networks_of(arguments_.networks, path.stem().string()));
    }
    const Case image = [&] {
      const Within waiting(phases.read_s);
      return reading.get();
    }();
    const std::size_t kept = embeddings_kept(memory_bytes_, image.array_bytes());
    Labels labels = named(path, [&] { return Labels(image, loaded_->pipeline); });
    segment(image, loaded_->pipeline, loaded_->networks, kept, labels, phases);
    {
      const Within writing(phases.write_s);
      labels.write(arguments_.outputs / path.filename());
    }
    const double now = now_s();
    std::cerr << phases.line(path.stem().string(), now - since_s_) + '\n';
    since_s_ = now;
  }

  void give_back() noexcept {
    if (loaded_) loaded_->networks.give_back();
  }

 private:
  /// Cases of a kind follow one another; two algorithms would take the memory of two.
  void load(const fs::path& folder) {
    if (loaded_ && loaded_->folder == folder) return;
    loaded_.reset();
    loaded_ = std::make_unique<Algorithm>(folder, arguments_.precision);
  }

  const Arguments& arguments_;
  const std::uint64_t memory_bytes_;
  double import_s_, since_s_ = now_s();
  std::unique_ptr<Algorithm> loaded_;
};

void bake_all(const Arguments& arguments) {
  std::vector<fs::path> folders;
  const auto add = [&](const fs::path& folder) {
    if (fs::is_regular_file(folder / "pipeline.json")) folders.push_back(folder);
  };
  add(arguments.networks);
  for (const auto& entry : fs::directory_iterator(arguments.networks)) add(entry.path());
  if (folders.empty())
    throw Fault(arguments.networks.string() + ": it holds no networks. Make them: python -m models export");
  for (const fs::path& folder : folders)
    bake({folder, arguments.precision.value_or(read_pipeline(folder / "pipeline.json").precision), cpus_given()});
}

int run(const Arguments& arguments, double import_s) {
  if (arguments.help) {
    std::cout << usage;
    return done;
  }
  if (arguments.bake) {
    bake_all(arguments);
    return done;
  }
  const std::vector<fs::path> paths = cases_in(arguments.inputs);
  if (!fs::is_directory(arguments.outputs))
    throw Fault(arguments.outputs.string() + ": no such folder. Mount one there.");
  int code = done;
  Program program(arguments, import_s);
  for (const fs::path& path : paths) {
    try {
      program.segment_case(path);
    } catch (const Fault& fault) {  // one broken file is no reason to leave the others
      std::cerr << "error: " << fault.what() << '\n';
      code = bad_input;
    } catch (const std::bad_alloc&) {
      std::cerr << "error: " << path.string() << ": memory does not suffice. Give more (docker run --memory, ulimit)\n";
      code = own_fault;
    }
  }
  // Everything is written.  Of the rest the kernel gives the memory back faster than destructors do.
  program.give_back();
  std::fflush(nullptr);
  std::_Exit(code);
}

}  // namespace

int main(int count, char** words) {
  const double import_s = process_age_s();
  try {
    return run(parse({words + 1, words + count}), import_s);
  } catch (const Fault& fault) {
    std::cerr << "error: " << fault.what() << '\n';
    return bad_input;
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << '\n';
    return own_fault;
  }
}
