//! Certificate requests: decoded strictly, compared with the host that they claim to be, decided.
