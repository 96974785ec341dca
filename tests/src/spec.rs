//! What a test wants started, and with which settings; only the differences to a plain system are named.

/// Which broker a test needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BrokerNeed {
    /// Any; it may be shared with other systems, whose records must be ignored.
    #[default]
    Any,
    /// One of its own, since the test stops it or reads all of a topic.
    Own,
    /// An Apache Kafka of its own that the first router reaches by a way that can be cut.
    CutFromFirstRouter,
    /// An embedded one of its own, behind a fixed address, so that it can be late.
    Embedded,
}

/// The value of a setting.
#[derive(Debug, Clone)]
pub struct Value(String);

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self(number.to_string())
    }
}

/// Routers, edges, broker, settings.
#[derive(Debug, Clone)]
pub struct SystemSpec {
    pub(crate) name: &'static str,
    pub(crate) routers: usize,
    pub(crate) edges: usize,
    pub(crate) broker: BrokerNeed,
    pub(crate) router_settings: Vec<(&'static str, String)>,
    pub(crate) edge_settings: Vec<(&'static str, String)>,
    pub(crate) failpoints: Option<String>,
    pub(crate) edge_failpoints: Option<String>,
}

impl SystemSpec {
    /// One router, one edge, any broker.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            routers: 1,
            edges: 1,
            broker: BrokerNeed::Any,
            router_settings: Vec::new(),
            edge_settings: Vec::new(),
            failpoints: None,
            edge_failpoints: None,
        }
    }

    /// So many routers.
    #[must_use]
    pub fn routers(mut self, count: usize) -> Self {
        self.routers = count;
        self
    }

    /// So many edges.
    #[must_use]
    pub fn edges(mut self, count: usize) -> Self {
        self.edges = count;
        self
    }

    /// This broker.
    #[must_use]
    pub fn broker(mut self, need: BrokerNeed) -> Self {
        self.broker = need;
        self
    }

    /// A setting of every router.
    #[must_use]
    pub fn router_set(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.router_settings.push((key, value.into().0));
        self
    }

    /// A setting of every edge.
    #[must_use]
    pub fn edge_set(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.edge_settings.push((key, value.into().0));
        self
    }

    /// What the first router does at its fail points.
    #[must_use]
    pub fn failpoints(mut self, script: &str) -> Self {
        self.failpoints = Some(script.to_owned());
        self
    }

    /// What the first edge does at its fail points.
    #[must_use]
    pub fn edge_failpoints(mut self, script: &str) -> Self {
        self.edge_failpoints = Some(script.to_owned());
        self
    }
}
