#include "segment.hpp"

#include <algorithm>
#include <chrono>
#include <list>
#include <map>
#include <set>

namespace {

/// Embeddings kept from the ascending sweep for the descending one; one takes 4 MiB.
constexpr std::size_t max_kept_bytes = 1536ULL << 20;
/// Embeddings that MedficientSAM's cache holds.
constexpr std::size_t published_cache = 1024;

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// One box through a volume.
struct Chain {
  std::size_t number;
  SliceRange slices;
  Prompt prompt;  ///< of the box itself
  Prompt up;      ///< for the next slice upwards
  Prompt down;    ///< for the next slice downwards
};

class Segmenter {
 public:
  Segmenter(const Case& of, const Pipeline& pipeline, Networks& networks, Work& work)
      : case_(of), pipeline_(pipeline), networks_(networks), work_(work), labels_(of) {}

  Labels image() {
    const ov::Tensor embedding = encode(0);
    std::vector<Prompt> prompts;
    for (const Box& box : case_.boxes) prompts.push_back(prompt_of(box, size(), pipeline_));
    decode(embedding, prompts, [&](std::size_t i, const Mask& mask) {
      labels_.paint(0, pipeline_.clipped_to_box ? clipped(mask, case_.boxes[i]) : mask, i + 1);
    });
    return std::move(labels_);
  }

  Labels volume() {
    for (std::size_t i = 0; i < case_.boxes.size(); ++i) {
      const Prompt prompt = prompt_of(case_.boxes[i], size(), pipeline_);
      chains_.push_back({i + 1, slices_of(case_.boxes[i], case_.depth, pipeline_), prompt, prompt, prompt});
    }
    pipeline_.stale_embeddings ? in_published_order() : in_step();
    return std::move(labels_);
  }

 private:
  Size size() const { return {case_.height, case_.width}; }

  void in_step() {
    std::set<std::size_t> upwards, downwards;
    for (const Chain& chain : chains_) {
      for (std::size_t z = chain.slices.middle; z <= chain.slices.last; ++z) upwards.insert(z);
      for (std::size_t z = chain.slices.first; z < chain.slices.middle; ++z) downwards.insert(z);
    }
    // All chains move together, so that a slice is encoded once and its boxes are decoded in one go.
    for (const std::size_t z : upwards) ascend(z, downwards.count(z) > 0);
    for (auto z = downwards.rbegin(); z != downwards.rend(); ++z) descend(*z);
  }

  /// Box after box, each upwards and then downwards: which embedding a slice gets depends on the order.
  void in_published_order() {
    std::list<std::size_t> cached;  // slices, the latest used last
    ov::Tensor latest;
    for (Chain& chain : chains_) {
      const auto visit = [&](std::size_t z, Prompt Chain::*moving) {
        const auto found = std::find(cached.begin(), cached.end(), z);
        if (found == cached.end()) {
          latest = encode(z);
        } else {
          cached.erase(found);
        }
        cached.push_back(z);
        if (cached.size() > published_cache) cached.pop_front();
        step(latest, z, {&chain}, moving);
      };
      for (std::size_t z = chain.slices.middle; z <= chain.slices.last; ++z) {
        visit(z, &Chain::up);
        if (z == chain.slices.middle) chain.down = chain.up;
      }
      for (std::size_t z = chain.slices.middle; z-- > chain.slices.first;) visit(z, &Chain::down);
    }
  }

  void ascend(std::size_t z, bool needed_again) {
    const ov::Tensor embedding = encode(z);
    if (needed_again && (kept_.size() + 1) * embedding.get_byte_size() <= max_kept_bytes) kept_.emplace(z, embedding);
    const auto on_the_way_up = [&](const Chain& c) { return c.slices.middle <= z && z <= c.slices.last; };
    step(embedding, z, those(on_the_way_up), &Chain::up);
    for (Chain& chain : chains_)
      if (chain.slices.middle == z) chain.down = chain.up;
  }

  void descend(std::size_t z) {
    const auto found = kept_.find(z);
    const ov::Tensor embedding = found == kept_.end() ? encode(z) : found->second;
    const auto on_the_way_down = [&](const Chain& c) { return c.slices.first <= z && z < c.slices.middle; };
    step(embedding, z, those(on_the_way_down), &Chain::down);
    kept_.erase(z);
  }

  template <typename Predicate>
  std::vector<Chain*> those(const Predicate& wanted) {
    std::vector<Chain*> chains;
    for (Chain& chain : chains_)
      if (wanted(chain)) chains.push_back(&chain);
    return chains;
  }

  /// Decodes these chains on a slice, paints them, and moves their prompts on.
  void step(const ov::Tensor& embedding, std::size_t z, const std::vector<Chain*>& chains, Prompt Chain::*moving) {
    std::vector<Prompt> prompts;
    for (const Chain* chain : chains) prompts.push_back(chain->*moving);
    decode(embedding, prompts, [&](std::size_t i, const Mask& mask) {
      Chain& chain = *chains[i];
      // As published, an object of a volume is painted where its own 8-bit labels are above 0: not object 256.
      if (pipeline_.label_bits != 8 || chain.number % 256 != 0) labels_.paint(z, mask, chain.number);
      chain.*moving = next_prompt(mask, chain.number, size(), pipeline_).value_or(chain.prompt);
    });
  }

  ov::Tensor encode(std::size_t z) {
    const View<std::uint8_t> slice{case_.slice(z), case_.height, case_.width, case_.channels};
    std::vector<float> square = network_input(slice, pipeline_);
    const double start = now_s();
    ov::Tensor embedding = networks_.encode(square);
    work_.encode_s += now_s() - start;
    ++work_.encoded;
    return embedding;
  }

  /// Calls `take(i, mask)` for each prompt in order.
  template <typename Take>
  void decode(const ov::Tensor& embedding, const std::vector<Prompt>& prompts, const Take& take) {
    for (std::size_t from = 0; from < prompts.size(); from += Networks::batch) {
      const std::size_t to = std::min(from + Networks::batch, prompts.size());
      std::vector<Prompt> some(prompts.begin() + static_cast<std::ptrdiff_t>(from),
                               prompts.begin() + static_cast<std::ptrdiff_t>(to));
      const double start = now_s();
      const float* logits = networks_.decode(embedding, some);
      work_.decode_s += now_s() - start;
      work_.decoded += some.size();
      constexpr std::size_t area = Networks::logits_side * Networks::logits_side;
      for (std::size_t i = from; i < to; ++i)
        take(i, mask_of(logits + (i - from) * area, Networks::logits_side, size(), pipeline_));
    }
  }

  const Case& case_;
  const Pipeline& pipeline_;
  Networks& networks_;
  Work& work_;
  Labels labels_;
  std::vector<Chain> chains_;
  std::map<std::size_t, ov::Tensor> kept_;
};

}  // namespace

Labels segment(const Case& of, const Pipeline& pipeline, Networks& networks, Work& work) {
  Segmenter segmenter(of, pipeline, networks, work);
  return of.volume ? segmenter.volume() : segmenter.image();
}
