import { expect } from 'chai';
import { agentPage, fleetPage, pageHeaders } from '../../../../src/apps/fleet/page/index.ts';
import { html } from '../../../../src/apps/fleet/page/markup.ts';
import { sampleAgent, sampleAgentView, sampleFleet } from './sample-views.ts';

const evil = `"><script>alert('x')</script>\u202e&`;

describe('html', () => {
  it('escapes what is not markup, in text and in attributes', () => {
    expect(html`<p title="${evil}">${evil}</p>`.text).to.equal(
      '<p title="&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;\ufffd&amp;">' +
        '&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;\ufffd&amp;</p>',
    );
  });

  it('takes markup as it is, one or many', () => {
    const items = [html`<li>${1}</li>`, html`<li>${'<'}</li>`];
    expect(html`${items}`.text).to.equal('<li>1</li><li>&lt;</li>');
  });
});

describe('page of the fleet', () => {
  it('has a row for each agent and counts by state', () => {
    const text = fleetPage(sampleFleet());
    expect([...text.matchAll(/href="\/agents\/[0-9a-f-]{36}"/gu)]).to.have.length(8);
    expect(text).to.match(/<strong>11<\/strong\s*>\s*all/u);
    expect(text).to.contain('href="/?state=quarantined"').and.to.not.contain('state=deactivated');
  });

  it('shows what has been missed, ends soon, and is not in force yet', () => {
    const text = fleetPage(sampleFleet());
    expect(text)
      .to.contain('2 missed')
      .and.to.match(/class="soon"[^>]*>\s*<time[^>]*>in 116 min/u);
    expect(text)
      .to.contain('→ 4')
      .and.to.match(/class="over"[^>]*>\s*<time[^>]*>100 s ago/u);
  });

  it('goes on where the list does, in the state that was chosen', () => {
    const next = sampleAgent(9).id;
    const { agents } = sampleFleet().agents;
    expect(fleetPage(sampleFleet({ agents: { agents, next }, state: 'active' }))).to.contain(
      `href="/?state=active&amp;after=${next}"`,
    );
  });

  it('holds nothing that an agent could make of it', () => {
    const hostile = sampleAgent(1, {
      name: evil,
      problems: [evil],
      version: evil,
      labels: { [evil]: evil },
    });
    const fleet = fleetPage(sampleFleet({ agents: { agents: [hostile] } }));
    const event = {
      seq: 1,
      at: hostile.registeredAt,
      kind: 'problem' as const,
      message: evil,
      facts: {},
    };
    const one = agentPage(sampleAgentView({ agent: hostile, events: [event] }));
    for (const text of [fleet, one]) expect(text).to.not.match(/<script|\u202e|title=""/u);
  });

  it('runs no script and loads nothing but its style', () => {
    expect(pageHeaders['content-security-policy']).to.contain("default-src 'none'");
    expect(fleetPage(sampleFleet())).to.not.match(/style="|<style|onclick/u);
  });
});

describe('page of an agent', () => {
  it('plots heartbeats with a gap where one was missed', () => {
    const text = agentPage(sampleAgentView());
    expect([...text.matchAll(/<polyline/gu)]).to.have.length(3);
    expect([...text.matchAll(/class="missed"/gu)]).to.have.length(3);
    expect(text).to.contain('120 heartbeats, 3 missed');
    expect(text).to.not.contain('NaN');
  });

  for (const beats of [[], sampleAgentView().history.beats.slice(0, 1)]) {
    it(`takes ${String(beats.length)} heartbeats`, () => {
      const text = agentPage(sampleAgentView({ history: { beats } }));
      expect(text).to.contain(beats.length === 0 ? 'no heartbeat yet' : '1 heartbeats');
      expect(text).to.not.contain('NaN');
    });
  }

  it('shows the latest event first', () => {
    const text = agentPage(sampleAgentView());
    expect(text.indexOf('file_changed')).to.be.below(text.indexOf('activated by owner'));
  });
});
