//! The last moment of a listening socket, in which the kernel must not say "connected" to anybody who is then reset.
//!
//! Between the last `accept` and `close` a handshake may complete; the client sends its request, and a reset is the answer. So
//! the socket first drops the opening segment of every new handshake (a classic BPF filter on it, which needs no privilege).
//! Handshakes under way are let finish and accepted, and then nobody can come between. Whoever was dropped asks again after a
//! second, as TCP does, and is refused in words that a proxy takes as "try another".

use tokio::net::TcpListener;

/// Lets nobody new in; whether the system could do it.
#[cfg(target_os = "linux")]
pub(super) fn shut(socket: &TcpListener) -> bool {
    use socket2::{SockFilter, SockRef};

    // Offset of the flags in a TCP header, and the two of them that tell an opening segment (RFC 9293 §3.1).
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    // Load a byte; keep bits; compare and skip; return how much of the packet to keep.
    let program = [
        SockFilter::new(0x30, 0, 0, FLAGS),
        SockFilter::new(0x54, 0, 0, SYN | ACK),
        SockFilter::new(0x15, 0, 1, SYN),
        SockFilter::new(0x06, 0, 0, 0),
        SockFilter::new(0x06, 0, 0, u32::MAX),
    ];
    match SockRef::from(socket).attach_filter(&program) {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(%error, "new connections cannot be held off");
            false
        }
    }
}

/// Elsewhere the moment stays.
#[cfg(not(target_os = "linux"))]
pub(super) fn shut(_: &TcpListener) -> bool {
    false
}
