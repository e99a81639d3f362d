#include "loading.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <new>
#include <sstream>
#include <string>
#include <system_error>

#include "fault.hpp"
#include "rebase.hpp"
#include "widened.hpp"

namespace {

namespace fs = std::filesystem;

constexpr const char* device = "CPU";

/// One for all networks: it holds the plugin.  Never destroyed, since destructors at exit would only take time.
ov::Core& core() {
  static auto* const only = [] {
    auto* const made = new ov::Core;
    made->add_extension<Widened>();
    return made;
  }();
  return *only;
}

/// What a blob depends on besides the model: a CPU that lacks one of these could not run it, or would run another.
std::string cpu_key() {
  std::string key;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const auto add = [&](const char* name, int supported) {
    if (supported) key += std::string("-") + name;
  };
  add("avx2", __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
  add("avx512", __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"));
  add("vnni", __builtin_cpu_supports("avx512vnni"));
  add("bf16", __builtin_cpu_supports("avx512bf16"));
#else
  key = "-other";
#endif
  return key;
}

fs::path xml_path(const Settings& settings, const std::string& name) { return settings.folder / (name + ".xml"); }
fs::path bin_path(const Settings& settings, const std::string& name) { return settings.folder / (name + ".bin"); }

/// A file that says that a network's .bin begins with the network compiled for such a CPU, and how many bytes that is.
fs::path mark_path(const Settings& settings, const std::string& name) {
  const std::string version = ov::get_openvino_version().buildNumber;
  return settings.folder /
         (name + "-" + version.substr(0, version.find('-')) + "-" + name_of(settings.precision) + cpu_key() + ".baked");
}

ov::AnyMap options(const Settings& settings) {
  const auto precision = settings.precision == Precision::bf16 ? ov::element::bf16 : ov::element::f32;
  return {ov::hint::inference_precision(precision),
          // Where weights are stored as int8, activations would otherwise be rounded to 8 bits too.
          ov::hint::dynamic_quantization_group_size(0), ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY),
          ov::num_streams(1), ov::inference_num_threads(static_cast<int>(settings.threads)),
          // A pinned thread waits for its CPU while another one is idle, and loading waits with it.
          ov::hint::enable_cpu_pinning(false),
          // Kernels written for a few operations together take twice as long to load, and gain a tenth at most.
          {"SNIPPETS_MODE", "DISABLE"}};
}

ov::CompiledModel compiled(const Settings& settings, const std::string& name) {
  const fs::path xml = xml_path(settings, name), bin = bin_path(settings, name);
  for (const auto& path : {xml, bin})
    if (!fs::is_regular_file(path))
      throw Fault(path.string() + ": no such file. Make it: python -m models export");
  try {
    return core().compile_model(core().read_model(xml.string(), bin.string()), device, options(settings));
  } catch (const ov::Exception& error) {
    throw Fault(xml.string() + ": OpenVINO cannot compile it (" + error.what() +
                "). Make it again: python -m models export");
  }
}

/// What memory of OpenVINO's consists of that is a file's begin, mapped as long as it is used.
class Mapped {
 public:
  explicit Mapped(const fs::path& file) : file_(file) {}
  void* allocate(std::size_t bytes, std::size_t) const {
    const int descriptor = ::open(file_.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) throw std::bad_alloc();
    void* const data = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, descriptor, 0);
    ::close(descriptor);
    if (data == MAP_FAILED) throw std::bad_alloc();
    return data;
  }
  void deallocate(void* data, std::size_t bytes, std::size_t) const noexcept { ::munmap(data, bytes); }
  bool is_equal(const Mapped& other) const { return file_ == other.file_; }

 private:
  fs::path file_;
};

/// How many bytes of a .bin are a compiled network for this CPU; 0 where there is none, or the mark is another .bin's.
std::size_t baked_bytes(const Settings& settings, const std::string& name) {
  std::size_t bytes = 0, of_bin = 0;
  std::ifstream mark(mark_path(settings, name));
  std::error_code error;
  if (!(mark >> bytes >> of_bin) || fs::file_size(bin_path(settings, name), error) != of_bin || error) return 0;
  return bytes <= of_bin ? bytes : 0;
}

template <typename Contents>
Contents content(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  Contents contents{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  if (!stream) throw Fault(path.string() + ": it cannot be read");
  return contents;
}

/// Under another name until it is whole.
template <typename Contents>
void replace(const fs::path& path, const Contents& contents) {
  const fs::path part = path.string() + ".part";
  std::ofstream stream(part, std::ios::binary);
  stream.write(reinterpret_cast<const char*>(contents.data()), static_cast<std::streamsize>(contents.size()));
  stream.close();
  if (!stream) throw Fault(path.string() + ": it cannot be written");
  fs::rename(part, path);
}

void bake_one(const Settings& settings, const std::string& name) {
  std::ostringstream stream;
  compiled(settings, name).export_model(stream);
  const std::string blob = stream.str();
  Bytes bin(blob.begin(), blob.end());
  const fs::path xml = xml_path(settings, name);
  std::string text;
  try {
    text = rebased(content<std::string>(xml), content<Bytes>(bin_path(settings, name)), bin);
  } catch (const Fault& fault) {
    throw Fault(xml.string() + ": " + fault.what() + ". Make it again: python -m models export");
  }
  // Of the .bin that was.
  for (const auto& entry : fs::directory_iterator(settings.folder))
    if (entry.path().extension() == ".baked" && entry.path().filename().string().rfind(name + "-", 0) == 0)
      fs::remove(entry.path());
  replace(bin_path(settings, name), bin);
  replace(xml, text);
  replace(mark_path(settings, name), std::to_string(blob.size()) + " " + std::to_string(bin.size()) + "\n");
}

}  // namespace

std::size_t cpus_given() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<std::size_t>(CPU_COUNT(&set));
}

ov::CompiledModel loaded(const Settings& settings, const std::string& name) {
  if (const std::size_t bytes = baked_bytes(settings, name); bytes > 0) {
    try {
      const ov::Tensor blob(ov::element::u8, {bytes}, Mapped(bin_path(settings, name)));
      return core().import_model(blob, device, options(settings));
    } catch (const std::exception& error) {
      std::cerr << "warning: " << bin_path(settings, name).string() << ": the compiled network in it cannot be used ("
                << error.what() << "); compiling anew\n";
    }
  }
  return compiled(settings, name);
}

void bake(const Settings& settings) {
  for (const char* name : {"encoder1", "encoder2", "shared", "decoder"}) bake_one(settings, name);
}
