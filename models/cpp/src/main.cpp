// `segment`: segments every case of a folder with exported networks.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <future>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "case.hpp"
#include "daft.hpp"
#include "fault.hpp"
#include "labels.hpp"
#include "networks.hpp"
#include "pipeline.hpp"
#include "segment.hpp"

namespace {

namespace fs = std::filesystem;

constexpr int done = 0, bad_input = 2, own_fault = 3;

constexpr const char* usage =
    "usage: segment [--networks DIR] [-i DIR] [-o DIR] [--precision f32|bf16] [--times]\n"
    "       segment --bake [--networks DIR] [--precision f32|bf16]\n"
    "\n"
    "Segments every .npz of one folder into another.\n"
    "  --networks DIR  what `python -m models export` wrote, or a folder of such folders named as DAFT's models\n"
    "                  (3D, CT, ..., general); default: the folder networks beside this program\n"
    "  -i, -o DIR      default: /workspace/inputs, /workspace/outputs\n"
    "  --precision     what the networks compute in; default: f32\n"
    "  --times         say on stderr what each case took, in seconds\n"
    "  --bake          write compiled networks beside the others, for CPUs like this one, and segment nothing\n";

struct Arguments {
  fs::path networks = fs::read_symlink("/proc/self/exe").parent_path() / "networks";
  fs::path inputs = "/workspace/inputs", outputs = "/workspace/outputs";
  std::string precision = "f32";
  bool bake = false, times = false, help = false;
};

Arguments parse(const std::vector<std::string>& words) {
  Arguments arguments;
  const std::map<std::string, fs::path*> folders{
      {"--networks", &arguments.networks}, {"-i", &arguments.inputs}, {"-o", &arguments.outputs}};
  const std::map<std::string, bool*> switches{
      {"--bake", &arguments.bake}, {"--times", &arguments.times}, {"--help", &arguments.help}};
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
    } else if (words[i] == "f32" || words[i] == "bf16") {
      arguments.precision = words[i];
    } else {
      throw Fault("--precision is f32 or bf16\n" + std::string(usage));
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

/// A case, and on failure which it was.
Case read(const fs::path& path) {
  try {
    return read_case(path);
  } catch (const Fault& fault) {
    throw Fault(path.string() + ": " + fault.what());
  }
}

class Clock {
 public:
  /// Seconds since the last call.
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    return seconds;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

/// Networks of one folder with their pipeline.
struct Algorithm {
  explicit Algorithm(const Settings& settings)
      : pipeline(read_pipeline(settings.folder / "pipeline.json")), networks(settings) {
    if (networks.side() != pipeline.side)
      throw Fault((settings.folder / "pipeline.json").string() + ": input_size is not the encoder's");
  }

  Pipeline pipeline;
  Networks networks;
};

class Program {
 public:
  explicit Program(const Arguments& arguments) : arguments_(arguments) {}

  void segment_case(const fs::path& path) {
    Clock clock;
    // Inflating and loading run side by side.
    auto reading = std::async(std::launch::async, [&] { return read(path); });
    Algorithm& algorithm = algorithm_of(path);
    const double load_s = clock.lap();
    const Case image = reading.get();
    const double read_s = clock.lap();
    Work work;
    const Labels labels = segment(image, algorithm.pipeline, algorithm.networks, work);
    const double segment_s = clock.lap();
    labels.write(arguments_.outputs / path.filename(), algorithm.pipeline);
    if (arguments_.times)
      std::fprintf(stderr,
                   "%s load %.3f read %.3f encode %.3f decode %.3f other %.3f write %.3f slices %zu masks %zu\n",
                   path.filename().c_str(), load_s, read_s, work.encode_s, work.decode_s,
                   segment_s - work.encode_s - work.decode_s, clock.lap(), work.encoded, work.decoded);
  }

 private:
  Algorithm& algorithm_of(const fs::path& path) {
    const fs::path folder = networks_of(arguments_.networks, path.stem().string());
    auto& algorithm = loaded_[folder];
    if (!algorithm) algorithm = std::make_unique<Algorithm>(Settings{folder, arguments_.precision, cpus_given()});
    return *algorithm;
  }

  const Arguments& arguments_;
  std::map<fs::path, std::unique_ptr<Algorithm>> loaded_;
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
  for (const fs::path& folder : folders) bake({folder, arguments.precision, cpus_given()});
}

int run(const Arguments& arguments) {
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
  Program program(arguments);
  for (const fs::path& path : paths) {
    try {
      program.segment_case(path);
    } catch (const Fault& fault) {  // one broken file is no reason to leave the others
      std::cerr << "error: " << fault.what() << '\n';
      code = bad_input;
    }
  }
  // Everything is written; the kernel gives the networks' memory back faster than their destructors do.
  std::fflush(nullptr);
  std::_Exit(code);
}

}  // namespace

int main(int count, char** words) {
  try {
    return run(parse({words + 1, words + count}));
  } catch (const Fault& fault) {
    std::cerr << "error: " << fault.what() << '\n';
    return bad_input;
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << '\n';
    return own_fault;
  }
}
