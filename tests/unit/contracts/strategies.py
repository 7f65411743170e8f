"""Cheap strategies for what contracts speak of."""

import string
from typing import Any

from hypothesis import strategies as st

from fleet.contracts.names import DeploymentName, DeviceId

_ENDS = string.ascii_lowercase + string.digits
labels = st.one_of(
    st.text(_ENDS, min_size=1, max_size=4),
    st.builds(
        lambda first, middle, last: first + middle + last,
        st.sampled_from(_ENDS),
        st.text(_ENDS + "-", max_size=61),
        st.sampled_from(_ENDS),
    ),
)
device_ids = labels.map(DeviceId)
deployment_names = labels.map(DeploymentName)
any_text = st.text(max_size=70)

_scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8))
json_values: st.SearchStrategy[Any] = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=10,
)
services = st.fixed_dictionaries(
    {"name": labels, "image": st.text("abc/:", min_size=1, max_size=8)},
    optional={"args": st.lists(st.text(max_size=4), max_size=3), "x": json_values},
)
score_data = st.lists(services, min_size=1, max_size=4, unique_by=lambda s: s["name"]).map(
    lambda listed: {"services": listed}
)
