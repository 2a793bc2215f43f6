// Two CUDA devices for a torch that was built without CUDA: what torch's C++ asks, answered.
//
// Their tensors have no memory; they are fake ones (see device.py). Automatic differentiation asks for
// the device and its streams all the same, and generators and pinned memory ask for CUDA's hooks. No answer is
// marked `override`: another version of torch may not ask that question.

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

namespace {

// torch's own guard for tests knows eight devices; gradients would get eight threads.
struct Devices final : c10::impl::DeviceGuardImplInterface {
  static constexpr c10::DeviceType static_type = c10::kCUDA;

  Devices() = default;
  Devices(c10::DeviceType) {}

  c10::DeviceType type() const { return static_type; }
  c10::DeviceIndex deviceCount() const noexcept { return 2; }

  c10::Device getDevice() const { return c10::Device(static_type, 0); }
  c10::Device exchangeDevice(c10::Device) const { return getDevice(); }
  void setDevice(c10::Device) const {}
  void uncheckedSetDevice(c10::Device) const noexcept {}

  c10::Stream getStream(c10::Device device) const noexcept { return c10::Stream(c10::Stream::DEFAULT, device); }
  c10::Stream getDefaultStream(c10::Device device) const { return getStream(device); }
  c10::Stream exchangeStream(c10::Stream stream) const noexcept { return getStream(stream.device()); }

  void record(void**, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const {}
  void block(void*, const c10::Stream&) const {}
  bool queryEvent(void*) const { return true; }
  void destroyEvent(void*, const c10::DeviceIndex) const noexcept {}
};

// A CPU's generator that says it is the GPU's. Its numbers are never drawn.
struct Generator final : at::CPUGeneratorImpl {
  explicit Generator(c10::DeviceIndex index) { device_ = c10::Device(c10::kCUDA, index < 0 ? 0 : index); }
};

// torch finds it by this name.
struct CUDAHooks final : at::CUDAHooksInterface {
  CUDAHooks(at::CUDAHooksArgs) {}

  void init() const {}
  bool isBuilt() const { return true; }
  bool isAvailable() const { return true; }
  bool hasCUDA() const { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const { return true; }

  int getNumGPUs() const { return 2; }
  c10::DeviceIndex deviceCount() const { return 2; }
  c10::DeviceIndex current_device() const { return 0; }
  c10::DeviceIndex getCurrentDevice() const { return 0; }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex) const { return 0; }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex) const { return 0; }
  void setCurrentDevice(c10::DeviceIndex) const {}

  bool isPinnedPtr(const void*) const { return false; }
  at::Generator getNewGenerator(c10::DeviceIndex index) const { return at::make_generator<Generator>(index); }
};

}  // namespace

namespace at {
REGISTER_CUDA_HOOKS(CUDAHooks)
}

namespace c10::impl {
C10_REGISTER_GUARD_IMPL(CUDA, Devices)
}
