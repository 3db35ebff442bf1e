import dataclasses

import ml_collections
import pytest

from mtl_traffic.errors import InputError
from mtl_traffic.settings import FIELDS, Settings


def test_defaults_are_sound_and_every_setting_says_what_it_means():
  assert Settings.of({}) == Settings()
  assert all(field.metadata["meaning"] for field in FIELDS)


def test_settings_of_a_config_are_values_that_cannot_change():
  config = ml_collections.ConfigDict({"k": 20, "labels_per_class": [5, "all"]})
  config.divider_rows = [[[1.0], []]]
  settings = Settings.of(config)
  assert (settings.k, settings.labels_per_class) == (20, (5, "all"))
  assert settings.divider_rows == (((1.0,), ()),)
  assert settings.epochs == Settings().epochs
  assert hash(settings)
  with pytest.raises(dataclasses.FrozenInstanceError):
    settings.k = 3


@pytest.mark.parametrize(
  ("config", "message"),
  [
    ({"k": -1}, "k = -1 must be at least 0"),
    ({"test_per_class": 0}, "test_per_class = 0 must be above 0"),
    ({"test_per_class": 1.5}, "test_per_class = 1.5 must be a whole number of flows"),
    ({"validation_per_class": -0.2}, "= -0.2 must be a whole number of flows, or a"),
    ({"test_per_class": "half"}, "'half' must be a whole number of flows, or a share"),
    ({"k": 2.5}, "k = 2.5 must be a whole number"),
    ({"k": True}, "k = True must be a whole number"),
    ({"lambda_": float("nan")}, "lambda_ = nan must be a number"),
    ({"lambda_": "1"}, "lambda_ = '1' must be a number"),
    ({"learning_rate": 0}, "learning_rate = 0 must be at least"),
    ({"learning_rates": [1e-3, 0]}, "learning_rates = (0.001, 0) must be at least"),
    ({"first_seed": 2**31}, "first_seed = 2147483648 must be at most 214748364"),
    ({"labels_per_class": [10, "some"]}, "(10, 'some') must be numbers above 0, or"),
    ({"labels_per_class": [0]}, "labels_per_class = (0,) must be numbers above 0, or"),
    ({"labels_per_class": [5, 5]}, "labels_per_class = (5, 5) must be some, each once"),
    ({"labels_per_class": 10}, "labels_per_class = 10 must be numbers or 'all', as in"),
    ({"methods": []}, "methods = () must be some, each once"),
    ({"methods": "multitask"}, "methods = 'multitask' must be names, as in"),
    ({"dtype": "float16"}, "dtype = 'float16' must be float32 or bfloat16"),
    ({"iat_range": [0]}, "iat_range = (0,) must be two numbers"),
    ({"iat_range": [0, "a"]}, "iat_range = (0, 'a') must be two numbers"),
    ({"signed_lengths": "no"}, "signed_lengths = 'no' must be True or False"),
    ({"dataset": 3}, "dataset = 3 must be text"),
    ({"divider_rows": [[[1.0]]]}, "must be pairs of dividers, as in"),
    ({"learning_rat": 1}, "no setting 'learning_rat'; did you mean learning_rate?"),
    ({"xyzzy": 1}, "there is no setting 'xyzzy'; there are dataset"),
  ],
)
def test_what_cannot_be_is_said_in_one_line(config, message):
  with pytest.raises(InputError) as error:
    Settings.of(config)
  assert message in str(error.value)
  assert "\n" not in str(error.value)


def test_all_that_is_wrong_is_said_at_once():
  with pytest.raises(InputError) as error:
    Settings.of({"k": -1, "epochs": -1, "epoch": 3, "dtype": "int8"})
  for part in ("k = -1", "epochs = -1", "mean epochs?", "dtype = 'int8'"):
    assert part in str(error.value)


def test_settings_with_some_changed_are_checked():
  assert Settings().replace(k=7) == Settings(k=7)
  with pytest.raises(InputError, match="k = -1"):
    Settings().replace(k=-1)


def test_numbers_of_flows_are_whole_and_shares_are_not():
  config = {"test_per_class": 30.0, "validation_per_class": 0.2}
  settings = Settings.of(config)
  assert repr(settings.test_per_class) == "30"  # As work directories have it.
  assert settings.validation_per_class == 0.2
  assert Settings.of({"validation_per_class": 0.0}).validation_per_class == 0
  assert repr(Settings.of({"test_per_class": -100.0}).test_per_class) == "-100"
