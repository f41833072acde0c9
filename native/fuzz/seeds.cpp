// Writes a few small valid inputs for each fuzzer: mlit_fuzz_seeds FOLDER. What mutation found since then lies beside them.
#include <filesystem>
#include <fstream>
#include <iostream>

#include "checkpoint/dequant.h"
#include "checkpoint/peft.h"
#include "checkpoint/safetensors.h"
#include "fuzz/harness.h"
#include "fuzz/tiny.h"
#include "train/session.h"

using namespace mlit;
using namespace mlit::fuzz;

namespace {

namespace fs = std::filesystem;

const std::string kJoin(kSeparator);

std::string readAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// A safetensors file as header, separator, data.
std::string opened(const std::string& path) {
  const std::string file = readAll(path);
  uint64_t length = 0;
  file.copy(reinterpret_cast<char*>(&length), sizeof length);
  return file.substr(8, length) + kJoin + file.substr(8 + length);
}

struct Gguf {
  std::string keys, table, data;
  uint64_t keyCount = 0, tensorCount = 0;

  template <typename T>
  static std::string bytes(T value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
  }
  static std::string text(const std::string& value) { return bytes<uint64_t>(value.size()) + value; }
  void key(const std::string& name, uint32_t type, const std::string& value) {
    keys += text(name) + bytes(type) + value;
    ++keyCount;
  }
  void word(const std::string& name, uint32_t value) { key(name, 4, bytes(value)); }
  // sizes: innermost first.
  void tensor(const std::string& name, const std::vector<uint64_t>& sizes, uint32_t type, uint64_t byteCount) {
    data.append((32 - data.size() % 32) % 32, '\0');
    table += text(name) + bytes(static_cast<uint32_t>(sizes.size()));
    for (const uint64_t size : sizes) table += bytes(size);
    table += bytes(type) + bytes<uint64_t>(data.size());
    for (uint64_t i = 0; i < byteCount; ++i) data += static_cast<char>((i & 1) ? 0x2C + (i & 3) : i * 29);
    ++tensorCount;
  }
  std::string file(uint32_t version = 3) const {
    std::string out = "GGUF" + bytes(version) + bytes(tensorCount) + bytes(keyCount) + keys + table;
    out.append((32 - out.size() % 32) % 32, '\0');
    return out + data;
  }
};

std::string everyType() {
  Gguf g;
  for (const uint32_t type : {0u, 1u, 7u}) g.key("k" + std::to_string(type), type, "\1");
  for (const uint32_t type : {2u, 3u}) g.key("k" + std::to_string(type), type, "\1\2");
  for (const uint32_t type : {4u, 5u, 6u}) g.key("k" + std::to_string(type), type, "\1\2\3\4");
  for (const uint32_t type : {10u, 11u, 12u}) g.key("k" + std::to_string(type), type, "\1\2\3\4\5\6\7\10");
  g.key("text", 8, Gguf::text("\xE2\x96\x81"));
  const std::string eight = "\1\0\1\0\1\0\1\0";
  for (const uint32_t type : {0u, 1u, 2u, 3u, 4u, 5u, 6u, 7u, 10u, 11u, 12u})
    g.key("a" + std::to_string(type), 9,
          Gguf::bytes(type) + Gguf::bytes<uint64_t>(1) +
              eight.substr(0, type < 2 || type == 7 ? 1
                              : type < 4            ? 2
                              : type < 7            ? 4
                                                    : 8));
  g.key("texts", 9, Gguf::bytes<uint32_t>(8) + Gguf::bytes<uint64_t>(2) + Gguf::text("a") + Gguf::text(""));
  return g.file();
}

std::string everyFormat() {
  Gguf g;
  struct Format {
    uint32_t number;
    uint64_t columns, bytes;
  };
  for (const Format f : {Format{0, 2, 8},
                         {1, 2, 4},
                         {2, 32, 18},
                         {3, 32, 20},
                         {6, 32, 22},
                         {7, 32, 24},
                         {8, 32, 34},
                         {12, 256, 144},
                         {13, 256, 176},
                         {14, 256, 210},
                         {26, 2, 8},
                         {27, 1, 8},
                         {30, 2, 4}})
    g.tensor("t" + std::to_string(f.number), {f.columns, 1}, f.number, f.bytes);
  return g.file(2);
}

std::string ggufModel(const std::string& architecture) {
  const bool gemma = architecture == "gemma3";
  Gguf g;
  g.key("general.architecture", 8, Gguf::text(architecture));
  const auto own = [&](const std::string& key) { return architecture + "." + key; };
  g.word(own("block_count"), 1), g.word(own("embedding_length"), 8), g.word(own("feed_forward_length"), 8);
  g.word(own("attention.head_count"), 2), g.word(own("attention.head_count_kv"), 1);
  g.word(own("attention.key_length"), 4), g.word(own("context_length"), 32);
  if (gemma) g.word(own("attention.sliding_window"), 4);
  g.word("tokenizer.ggml.eos_token_id", 1);
  const auto half = [&](const std::string& name, const std::vector<uint64_t>& sizes) {
    g.tensor(name, sizes, 1, 2 * sizes[0] * (sizes.size() > 1 ? sizes[1] : 1));
  };
  const auto norm = [&](const std::string& name, uint64_t size) { g.tensor(name, {size}, 0, 4 * size); };
  half("token_embd.weight", {8, 16});
  norm("output_norm.weight", 8), norm("blk.0.attn_norm.weight", 8), norm("blk.0.ffn_norm.weight", 8);
  half("blk.0.attn_q.weight", {8, 8}), half("blk.0.attn_k.weight", {8, 4}), half("blk.0.attn_v.weight", {8, 4});
  half("blk.0.attn_output.weight", {8, 8}), half("blk.0.ffn_gate.weight", {8, 8});
  half("blk.0.ffn_up.weight", {8, 8}), half("blk.0.ffn_down.weight", {8, 8});
  if (gemma) {
    for (const char* name : {"post_attention_norm", "post_ffw_norm"}) norm(std::string("blk.0.") + name + ".weight", 8);
    norm("blk.0.attn_q_norm.weight", 4), norm("blk.0.attn_k_norm.weight", 4);
  } else {
    norm("rope_freqs.weight", 2);
  }
  return g.file();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::cerr << "usage: mlit_fuzz_seeds FOLDER\n", 2;
  const fs::path root = argv[1];
  const auto put = [&](const std::string& fuzzer, const std::string& name, const std::string& bytes) {
    fs::create_directories(root / fuzzer);
    std::ofstream(root / fuzzer / ("seed-" + name), std::ios::binary) << bytes;
  };
  const Folder folder;
  const float numbers[] = {1, -2, 0.5f, 0, 1e-42f, 3e38f};
  writeSafetensors(folder.file("s"), {{"w", DType::kF32, {2, 3}, numbers}, {"b", DType::kU8, {3}, numbers}},
                   {{"format", "pt"}});
  put("safetensors", "raw", std::string(1, '\0') + readAll(folder.file("s")));
  put("safetensors", "parts", "\1" + opened(folder.file("s")));
  const std::string one = R"({"w":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]}})";
  const std::string two = R"({"v":{"dtype":"I64","shape":[],"data_offsets":[0,8]}})";
  put("safetensors", "shards",
      "\2" + std::string(R"({"weight_map":{"w":"a.safetensors","v":"b.safetensors"}})") + kJoin + one + kJoin + "abcd" +
          kJoin + two + kJoin + "abcdefgh");
  put("gguf", "types", everyType());
  put("gguf", "formats", everyFormat());
  for (const char* name : {"llama", "qwen2", "qwen3", "gemma3_text"})
    put("model", name,
        "\1" + test::tinyConfig(name) + kJoin + R"({"eos_token_id":2})" + kJoin + test::tinyWeights(name).first +
            kJoin + test::tinyWeights(name).second);
  for (const char* name : {"llama", "gemma3"})
    put("model", std::string("gguf-") + name, std::string(1, '\0') + ggufModel(name));

  AdapterSpec spec;
  spec.rank = 1;
  spec.targets.fill(false);
  spec.targets[0] = true;
  const auto adapter = Adapter::create(tinyModel(), spec, 1);
  adapter->save(folder.path(), "tiny");
  put("peft", "one", readAll(folder.file(kPeftConfigFile)) + kJoin + opened(folder.file(kPeftTensorFile)));
  TrainOptions options;
  options.maxTokens = 8;
  TrainSession(tinyModel(), {adapter}, options).saveState(folder.file("state"));
  put("state", "one", opened(folder.file("state")));
}
