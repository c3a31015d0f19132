from runge.tensorboard import hyperparameters


def test_null_is_left_out_and_lists_are_text():
    found = hyperparameters({"a": {"b": None, "c": [1, 2], "d": True}, "e": {"_target_": "x.Y", "f": 0.5}})
    assert found == {"a.c": "[1, 2]", "a.d": True, "e": "Y", "e.f": 0.5}
