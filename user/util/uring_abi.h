/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
// What Debian 12's <linux/io_uring.h> does not have yet (include/uapi/linux/io_uring.h), and more than one file needs.
#pragma once

#include <cstdint>

namespace bpfckpt {

inline constexpr uint32_t kSetupNoMmap = 1U << 14;    // IORING_SETUP_NO_MMAP (v6.5)
inline constexpr uint32_t kSetupNoSqArray = 1U << 16; // IORING_SETUP_NO_SQARRAY (v6.6)
inline constexpr uint32_t kSetupCqeMixed = 1U << 18;  // IORING_SETUP_CQE_MIXED (v6.18)
inline constexpr uint32_t kEnterExtArgReg = 1U << 6;  // IORING_ENTER_EXT_ARG_REG (v6.13)
inline constexpr uint32_t kCqe32 = 1U << 15;          // IORING_CQE_F_32 (v6.18): this one has 32 bytes
inline constexpr uint16_t kRecvSendBundle = 1U << 4;  // IORING_RECVSEND_BUNDLE (v6.10)
inline constexpr uint64_t kMapBuffers = 0x80000000;   // IORING_OFF_PBUF_RING (v6.4)
inline constexpr uint64_t kMapRegion = 0x20000000;    // IORING_MAP_OFF_PARAM_REGION (v6.13)
inline constexpr unsigned kMapBuffersShift = 16;      // IORING_OFF_PBUF_SHIFT

} // namespace bpfckpt
