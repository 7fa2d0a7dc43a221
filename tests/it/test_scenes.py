"""Each scene creates the socket that it promises, as `ss` shows it, and leaves nothing behind."""
from tcph import scenes, ss
from tcph.case import NetTest
from tcph.poll import eventually


class ScenesTest(NetTest):
    def test_every_recipe_holds_over_both_families(self):
        """A recipe waits for its record itself; here it must also be the same socket a moment later."""
        for family in (4, 6):
            for name, recipe in scenes.RECIPES.items():
                with self.subTest(recipe=name, family=family), recipe(self.pair, family=family) as scene:
                    if scene.record:
                        self.assertEqual(scene.look().state, scene.record.state)

    def test_nothing_is_left_when_a_scene_ends(self):
        """The ends reset each other: only TIME_WAIT may outlive a scene."""

        def left(host, **where):
            return [record for record in ss.find(host, **where) if record.state != 'TIME-WAIT']

        for name in ('fin_wait1_orphan', 'last_ack', 'closing', 'syn_recv', 'half_open_unacked', 'zero_window'):
            with scenes.RECIPES[name](self.pair) as scene:
                port = scene.port
            for host, side in ((self.a, 'remote_port'), (self.b, 'local_port')):
                with self.subTest(recipe=name, side=side):
                    eventually(lambda: not left(host, **{side: port}), timeout=15,
                               what=lambda: f'an empty table, not {left(host, **{side: port})}')

    def test_close_wait_counts_what_is_unread(self):
        self.assertEqual(self.scene(scenes.close_wait, unread=10).record.receive_queue, 11)
        self.assertEqual(self.scene(scenes.close_wait, unread=10, drained=True).record.receive_queue, 0)

    def test_several_connections_share_a_listener(self):
        first = self.scene(scenes.close_wait)
        self.scene(scenes.close_wait, listener=first.listener)
        self.assertEqual(ss.count(self.b, state='CLOSE-WAIT', local_port=first.port), 2)

    def test_one_shot_server_has_no_listener_any_more(self):
        scene = self.scene(scenes.one_shot)
        self.assertEqual(ss.count(self.b, state='LISTEN'), 0)
        self.assertEqual(ss.count(self.a, state='CLOSE-WAIT', remote_port=scene.port), 1)

    def test_forgotten_half_open_is_found_by_writing(self):
        scene = self.scene(scenes.half_open_forgotten)
        scene.server.sendall(b'anybody there?')
        eventually(lambda: scene.look() is None, what='the server to be reset')

    def test_the_handshake_ends_when_the_network_is_whole_again(self):
        scene = self.scene(scenes.syn_recv)
        scene.restore()
        record = scene.see(self.b, 'ESTAB')
        self.assertEqual(record.cookie, scene.record.cookie)
