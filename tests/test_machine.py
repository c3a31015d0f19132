from runge.machine import compiling_pays


def test_compiling_pays_for_much_work():
    assert not compiling_pays(neurons=2**15, steps=8000, own_kernel=False)
    assert compiling_pays(neurons=2**15, steps=8000, own_kernel=True)
    assert compiling_pays(neurons=2**21, steps=2000, own_kernel=False)
