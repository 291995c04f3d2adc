import { eosTokens } from '@runner/generate/eosTokens';
import { describe, expect, it } from 'vitest';

describe('eosTokens', () => {
  it('ends a text at the token that training put behind each sample and at all the model names', () => {
    expect(eosTokens({ eosTokenId: 7 }, { eos_token_id: [3, 9] })).toEqual([3, 9, 7]);
    expect(eosTokens({ eosTokenId: 7 }, { eos_token_id: 7 })).toEqual([7]);
    expect(eosTokens({ eosTokenId: 7 })).toEqual([7]);
    expect(eosTokens({}, { eos_token_id: null })).toEqual([]);
  });
});
