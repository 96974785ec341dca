//! What can go wrong in the edge as a whole. What goes wrong with one charger stays with that charger.

/// Why the edge cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// The chargers' port cannot be had.
    #[error("cannot bind ocpp.listen {address}")]
    Bind {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A newer life of this pod id exists, so this one must not speak for it.
    #[error("another process lives under the pod id {pod}: this one ends, so that nobody answers for it")]
    Superseded {
        /// The pod id.
        pod: String,
    },
    /// Kafka's client cannot be built.
    #[error("cannot build the Kafka producer")]
    Producer(#[source] bus::BusError),
    /// A setting that validation let through is not what it must be.
    #[error("pod.id {0}")]
    PodId(#[from] domain::ids::IdError),
}

/// Why a link to a router ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address is none.
    #[error("the router address {0:?} is no address")]
    Address(String),
    /// No connection.
    #[error("cannot connect")]
    Connect(#[source] tonic::transport::Error),
    /// The connection took too long.
    #[error("no connection in time")]
    ConnectTimeout,
    /// The router ended the stream with an error.
    #[error("the router said {0}")]
    Status(#[source] Box<tonic::Status>),
    /// The router ended the stream.
    #[error("the router closed the link")]
    Closed,
    /// The router answers nothing.
    #[error("no reply in time")]
    Silent,
    /// More waited for the router than may.
    #[error("the router is too slow: its queue overflowed")]
    Overflow,
    /// This process must end.
    #[error(transparent)]
    Fatal(#[from] EdgeError),
}

impl LinkError {
    /// The value of the label `reason` of `gateway_edge_link_ends_total`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Address(_) => "address",
            Self::Connect(_) => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Status(_) => "status",
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::Overflow => "overflow",
            Self::Fatal(_) => "fatal",
        }
    }
}
