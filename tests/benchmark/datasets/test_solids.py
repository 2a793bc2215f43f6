import numpy as np
import pytest

from disbench.benchmark.datasets import manifest, solids

POINTS = np.array([[0.0, 0.0], [0.25, 0.0], [0.0, 0.49], [0.51, 0.0], [0.9, 0.9]])


def scene(axes, box, azimuth=0.0, elevation=0.0, light=(0.0, 0.0, 1.0)):
    """One solid, red, before a grey wall and a black floor."""
    angles = [np.radians([angle]) for angle in (elevation, azimuth)]
    return solids.Scenes(
        solids._tilt(angles[0]) @ solids._turn(angles[1]),
        np.array([axes], float),
        np.array([box]),
        np.array([light], float),
        np.array([[1.0, 0, 0]]),
        np.full((1, 3), 0.5),
        np.zeros((1, 3)),
    )


def test_rays_meet_a_ball_where_pythagoras_says():
    """A ball of radius 1/2: depth sqrt(1/4 - x^2 - y^2), and the normal is the point over the radius."""
    met, u, normal = solids.hit(scene((0.5, 0.5, 0.5), False), POINTS)
    assert met[0].tolist() == [True, True, True, False, False]
    depth = np.sqrt(0.25 - np.square(POINTS[:3]).sum(1))
    np.testing.assert_allclose(u[0, :, :3].T, np.column_stack([POINTS[:3], depth]), atol=1e-12)
    np.testing.assert_allclose(normal[0, :, :3].T, np.column_stack([POINTS[:3], depth]) / 0.5, atol=1e-12)


def test_the_normal_of_an_ellipsoid_is_the_gradient_of_its_equation():
    """Of x^2 / .25 + y^2 / .0625 + z^2 = 1 at x = .3, y = .1: z^2 = 1 - .36 - .16 = .48."""
    _, u, normal = solids.hit(scene((0.5, 0.25, 1.0), False), np.array([[0.3, 0.1]]))
    z = np.sqrt(0.48)
    np.testing.assert_allclose(u[0, :, 0], [0.3, 0.1, z], atol=1e-12)
    gradient = np.array([0.3 / 0.25, 0.1 / 0.0625, z])
    np.testing.assert_allclose(normal[0, :, 0], gradient / np.linalg.norm(gradient), atol=1e-12)


def test_rays_meet_a_box_on_the_face_towards_the_eye():
    met, u, normal = solids.hit(scene((0.5, 0.5, 0.3), True), POINTS)
    assert met[0].tolist() == [True, True, True, False, False]
    np.testing.assert_allclose(u[0, 2, :3], 0.3)
    np.testing.assert_allclose(normal[0, :, :3].T, [[0, 0, 1]] * 3, atol=1e-12)


def test_a_box_turned_by_45_degrees_shows_an_edge():
    """It reaches half its diagonal, sqrt(2) / 2, to both sides and, with that edge, towards the eye."""
    turned = scene((0.5, 0.5, 0.5), True, azimuth=45)
    met, u, normal = solids.hit(turned, np.array([[0.0, 0.1], [0.3, 0.1], [0.7, 0.1], [0.72, 0.1]]))
    assert met[0].tolist() == [True, True, True, False]
    to_eye = turned.rotation[0] @ u[0]
    np.testing.assert_allclose(to_eye[2, :3], np.sqrt(0.5) - np.array([0, 0.3, 0.7]), atol=1e-12)
    np.testing.assert_allclose(np.abs(normal[0, :, 1]), [np.sqrt(0.5), 0, np.sqrt(0.5)], atol=1e-12)


def test_a_positive_azimuth_turns_the_front_to_the_right_and_an_elevation_tilts_it_down():
    front = np.array([0.0, 0, 1])
    turned = scene((1, 1, 1), True, azimuth=30).rotation[0] @ front
    np.testing.assert_allclose(turned, [0.5, 0, np.sqrt(0.75)], atol=1e-12)
    tilted = scene((1, 1, 1), True, elevation=30).rotation[0] @ front
    np.testing.assert_allclose(tilted, [0, -0.5, np.sqrt(0.75)], atol=1e-12)


def test_brightness_is_ambient_plus_the_cosine_to_the_light():
    """A face at 60 degrees to the light: .3 + .7 cos 60 = .65; turned away from it: .3."""
    light = (np.sin(np.radians(60)), 0, 0.5)
    red = solids.paint(scene((0.5, 0.5, 0.3), True, light=light), np.array([[-0.3, -0.3]]))[0, :, 0]
    np.testing.assert_allclose(red, [0.65, 0, 0])
    dark = solids.paint(scene((0.5, 0.5, 0.3), True, light=(0, 0, -1)), np.array([[-0.3, -0.3]]))[0, :, 0]
    np.testing.assert_allclose(dark, [0.3, 0, 0])


def test_the_ground_is_brighter_on_the_side_of_the_light():
    """At x = .8 with the light at the right: .5 (1 + .25 x .8) = .6, and at the left .4; a black floor."""
    points = np.array([[0.8, 0.9], [-0.8, 0.9], [0.8, -0.9]])
    wall = solids.paint(scene((0.1, 0.1, 0.1), False, light=(1, 0, 0)), points)[0, 0]
    np.testing.assert_allclose(wall, [0.6, 0.4, 0.0])


@pytest.mark.parametrize("name", list(solids.VIEWS))
def test_a_manifest_has_the_factors_of_its_view(name):
    facts, view = manifest.read(name), solids.VIEWS[name]
    assert facts.factors == dict(view.sizes)
    assert (facts.reader.view, facts.count) == (name, np.prod(view.shape))


def test_blocks_are_the_grid_in_order():
    view = solids.View({"shape": 2, "azimuth": 3, "width": 2})
    every = np.stack(np.unravel_index(np.arange(12), view.shape), axis=1)
    blocks = list(solids.render(view, 16))
    assert np.array_equal(np.concatenate(blocks), solids.draw(view, every, 16))
    assert blocks[0].shape == (4, 3, 16, 16)


@pytest.mark.parametrize("name", list(solids.VIEWS))
def test_every_value_of_a_factor_gives_another_picture(name):
    """At two places of the grid, in small; where two pictures were equal no code could tell them apart."""
    view = solids.VIEWS[name]
    for place in (np.zeros(len(view.shape), int), np.array(view.shape) // 2):
        for k, n in enumerate(view.shape):
            index = np.tile(place, (n, 1))
            index[:, k] = np.arange(n)
            assert len(np.unique(solids.draw(view, index, 32).reshape(n, -1), axis=0)) == n


def test_solids_stay_inside_the_frame():
    """The widest and nearest ones: no corner pixel of the frame shows a solid."""
    for view in solids.VIEWS.values():
        last = np.array(view.shape) - 1
        index = np.stack([np.unravel_index(i, (2,) * len(last)) for i in range(2 ** len(last))]) * last
        met, _, _ = solids.hit(solids.scenes(view, index), solids.rays(8))
        edges = met.reshape(len(index), 16, 16)
        assert not edges[:, [0, -1]].any()
        assert not edges[:, :, [0, -1]].any()
